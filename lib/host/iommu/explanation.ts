/** What is wrong, and what to do about it. */
export interface Explanation {
  /** What is wrong, as a clause. */
  readonly problem: string;
  /** What to do next. */
  readonly hint: string;
}
