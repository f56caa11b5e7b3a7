/**
 * Counts times in buckets as fio does (`stat.h`): 64 linear ones for each power
 * of two, so that an entry is right to 1.6 percent.
 *
 * @module
 */

const BITS = 6;
const LINEAR = 2 ** BITS;
/** Times up to 2^32 nanoseconds. */
const GROUPS = 32 - BITS;

/** The percentiles that fio prints. */
export const PERCENTILES: readonly number[] = [
  ...[1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95],
  ...[99, 99.5, 99.9, 99.95, 99.99],
];

/** How often each time was counted. Counting allocates nothing. */
export class Histogram {
  readonly #buckets = new Uint32Array((GROUPS + 1) * LINEAR);
  #count = 0;
  #sum = 0;
  #squares = 0;
  #least = Infinity;
  #most = 0;

  /** Counts a time, in nanoseconds, so many times. */
  add(nanoseconds: number, times = 1): void {
    const time = nanoseconds > 0xffff_ffff ? 0xffff_ffff : nanoseconds >>> 0;
    const shift = 32 - Math.clz32(time) - BITS - 1;
    const bucket = shift <= 0 ? time : (shift << BITS) + (time >>> shift);
    this.#buckets[bucket]! += times;
    this.#count += times;
    this.#sum += time * times;
    this.#squares += time * time * times;
    if (time < this.#least) this.#least = time;
    if (time > this.#most) this.#most = time;
  }

  /** How many were counted. */
  get count(): number {
    return this.#count;
  }

  /** Returns the time below which a percentage of all is, in nanoseconds. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil(this.#count * percent / 100));
    let seen = 0;
    for (const [bucket, count] of this.#buckets.entries()) {
      seen += count;
      if (seen < wanted) continue;
      const shift = Math.max(0, (bucket >>> BITS) - 1);
      return shift === 0
        ? bucket
        : (bucket - (shift << BITS) + 0.5) * 2 ** shift;
    }
    return 0;
  }

  /** What fio prints of times. */
  summary() {
    const count = Math.max(1, this.#count);
    const mean = this.#sum / count;
    return {
      min: this.#count === 0 ? 0 : this.#least,
      max: this.#most,
      mean,
      stddev: Math.sqrt(Math.max(0, this.#squares / count - mean * mean)),
      N: this.#count,
      percentile: Object.fromEntries(
        PERCENTILES.map((percent) => [
          percent.toFixed(6),
          Math.round(this.percentile(percent)),
        ]),
      ),
    };
  }
}
