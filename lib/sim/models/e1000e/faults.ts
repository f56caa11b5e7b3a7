/** What a simulated network card does wrong. */
export interface E1000eFaults {
  /**
   * Whether it is pulled out: its registers read as ones, and it does nothing.
   */
  removed?: boolean;
  /**
   * Called with each descriptor that it writes back.
   *
   * @param words The four words, which can be changed.
   * @param ring Which ring it is of.
   */
  onDescriptor?: (words: Uint32Array, ring: "receive" | "transmit") => void;
  /**
   * Called when a register of 32 bits is read.
   *
   * @returns The value that is read in its place.
   */
  onRead?: (offset: number, value: number) => number;
}
