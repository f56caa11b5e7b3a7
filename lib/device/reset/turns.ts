/** Lets one user at a time have something, in the order in which they ask. */
export class Turns {
  /** Those who wait; `undefined` while nobody has it. */
  #waiting: (() => void)[] | undefined;

  /**
   * Takes it at once where it is free, else waits for the users before.
   *
   * @returns Gives it back when it is disposed of.
   */
  take(): Disposable | Promise<Disposable> {
    const turn = { [Symbol.dispose]: () => this.#next() };
    if (this.#waiting === undefined) {
      this.#waiting = [];
      return turn;
    }
    const { promise, resolve } = Promise.withResolvers<Disposable>();
    this.#waiting.push(() => resolve(turn));
    return promise;
  }

  #next(): void {
    const next = this.#waiting!.shift();
    if (next === undefined) this.#waiting = undefined;
    else next();
  }
}
