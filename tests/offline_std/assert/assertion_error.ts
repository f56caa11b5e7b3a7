/** Error thrown when an assertion fails. */
export class AssertionError extends Error {
  /** The same as `Error`'s: a message, and options with an optional `cause`. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AssertionError";
  }
}
