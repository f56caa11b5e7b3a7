/** Allocates numbers, the lowest free one first. */
export class Numbers {
  readonly #taken = new Set<number>();
  #lowest = 0;

  /** Takes the lowest free number. */
  take(): number {
    const number = this.#lowest;
    this.reserve(number);
    return number;
  }

  /** Takes a given number. */
  reserve(number: number): void {
    this.#taken.add(number);
    while (this.#taken.has(this.#lowest)) this.#lowest++;
  }

  /** Frees a number. */
  give(number: number): void {
    this.#taken.delete(number);
    this.#lowest = Math.min(this.#lowest, number);
  }
}
