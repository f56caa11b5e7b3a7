/** What the simulated kernel answers instead of a result. */
export class Refusal extends Error {
  /** Always `"Refusal"`. */
  override readonly name = "Refusal";
  /** The errno's name: `"EBUSY"`. */
  readonly code: string;

  /**
   * Made by {@linkcode refuse}.
   *
   * @param code The errno's name.
   */
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/**
 * Ends a call with an errno.
 *
 * @param code The errno's name: `"EBUSY"`.
 */
export function refuse(code: string): never {
  throw new Refusal(code);
}
