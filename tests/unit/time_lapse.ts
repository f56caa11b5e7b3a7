/**
 * Lets time pass faster for timers and `performance.now()`, so that a test of
 * what gives up after a second need not last one. Timers that wait for each
 * other stay in order.
 *
 * @param factor How many times as fast.
 * @returns Real time is back when it is disposed of.
 */
export function timeLapse(factor = 10): Disposable {
  const { setTimeout, performance: { now } } = globalThis;
  const start = performance.now();
  performance.now = () => start + factor * (now.call(performance) - start);
  const hastened = (handler: () => void, delay = 0): unknown =>
    setTimeout(handler, delay / factor);
  globalThis.setTimeout = hastened as typeof setTimeout;
  return {
    [Symbol.dispose]() {
      globalThis.setTimeout = setTimeout;
      performance.now = now;
    },
  };
}
