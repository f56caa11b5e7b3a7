/** Has pieces of work done one after the other, in the order they were asked. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Does a piece of work once those before it are over, however they ended.
   *
   * @param work The work.
   * @returns Its result.
   */
  take<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }
}
