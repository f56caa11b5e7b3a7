/**
 * Pseudorandom whole numbers, the same in every run: xorshift32.
 *
 * @param seed any but 0
 * @returns a function that returns a number below its argument
 */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed * 0x9e3779b1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
