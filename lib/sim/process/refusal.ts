/**
 * An errno of the simulated kernel in place of a result. It is no `Error`: it
 * never leaves the simulation, and capturing a stack costs more than most
 * calls.
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
 * The answer for a path that does not exist. It is returned rather than thrown,
 * since it is by far the most common refusal.
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
