/**
 * What the simulated kernel answers instead of a result. It is no `Error`, since
 * nobody outside sees it, and to capture a stack costs more than most calls do.
 */
export class Refusal {
  /** The errno's name: `"EBUSY"`. */
  readonly code: string;

  /**
   * Made by {@linkcode refuse}.
   *
   * @param code The errno's name.
   */
  constructor(code: string) {
    this.code = code;
  }
}

/**
 * The answer where a path leads to nothing. It is given back rather than thrown,
 * as most calls that are refused are refused with this.
 */
export const NOT_THERE: Refusal = new Refusal("ENOENT");

/**
 * Ends a call with an errno.
 *
 * @param code The errno's name: `"EBUSY"`.
 */
export function refuse(code: string): never {
  throw new Refusal(code);
}
