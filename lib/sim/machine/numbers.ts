/** Allocates numbers, the lowest free one first. */
export class Numbers {
  readonly #taken = new Set<number>();
  #lowest = 0;
  #expected: number | undefined;

  /** Takes the number that is expected, or else the lowest free one. */
  take(): number {
    const number = this.#expected ?? this.#lowest;
    this.#expected = undefined;
    this.reserve(number);
    return number;
  }

  /** Expects a number to be taken next; `undefined` for the lowest free one. */
  expect(number: number | undefined): void {
    this.#expected = number;
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
