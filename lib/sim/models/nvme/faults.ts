/** A command that a simulated NVMe controller was given. */
export interface NvmeCommand {
  /** The number of its queue; 0 is that of the admin queue. */
  readonly queue: number;
  /** Its id. */
  readonly id: number;
  /** The kind of command. */
  readonly opcode: number;
  /** Its 16 dwords. */
  readonly dwords: Uint32Array;
}

/** A completion. */
export interface NvmeCompletion {
  /** The id of the completed command. */
  readonly id: number;
  /** The status, without the phase. */
  readonly status: number;
  /** Its first dword. */
  readonly result: number;
}

/** What a simulated NVMe controller does wrong. */
export interface NvmeFaults {
  /**
   * Whether it is pulled out: its registers read as ones, and it does nothing.
   */
  removed?: boolean;
  /**
   * Called with each command, before it is carried out.
   *
   * @returns `"hold"` for a command that is not answered until it is aborted,
   * `"ignore"` for one that is never answered; a status of failure.
   */
  onCommand?: (
    command: NvmeCommand,
  ) => "hold" | "ignore" | number | undefined | void;
  /**
   * Called with each completion.
   *
   * @returns The completion that is posted in its place.
   */
  onCompletion?: (
    completion: NvmeCompletion,
    command: NvmeCommand,
  ) => NvmeCompletion;
  /** Called with data before it goes to memory, to change it. */
  onData?: (data: Uint8Array, command: NvmeCommand) => void;
  /**
   * Called when a register of 32 bits is read.
   *
   * @returns The value that is read in its place.
   */
  onRead?: (offset: number, value: number) => number;
}
