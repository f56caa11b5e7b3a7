/**
 * Virtual time, which passes only when nothing else can happen. Importing this
 * module replaces the timers and `performance.now()`: when the code under test
 * waits for a second, no real time passes, and of two timers the one that is
 * due first fires first, however busy the machine is.
 *
 * @module
 */
import { setImmediate } from "node:timers";
// Otherwise these are loaded when they are used first, and time would pass.
import "../lib/device/features/features.ts";
import "../lib/device/migration/migration.ts";
import "../lib/device/parts.ts";
import "../lib/dma/dirty/session.ts";
import "../lib/host/take/take.ts";

/** The callback of a timer. */
type Callback = () => void;

/** A timer that has not fired. */
interface Timer {
  /** The time at which it fires, in milliseconds. */
  readonly due: number;
  readonly call: Callback;
  /** The interval at which it fires again, in milliseconds. */
  readonly interval?: number;
}

let now = 0;
let last = 0;
let isTurning = false;
/** How many other threads are working, during which no time passes. */
let working = 0;
const timers = new Map<number, Timer>();

function start(call: Callback, delay = 0, repeats = false): number {
  const interval = Math.max(1, delay);
  const repetition = repeats ? { interval } : {};
  timers.set(++last, { due: now + Math.max(0, delay), call, ...repetition });
  turn();
  return last;
}

/** Fires the next timer once nothing else can happen before it. */
function turn(): void {
  if (isTurning || timers.size === 0) return;
  isTurning = true;
  setImmediate(() => {
    isTurning = false;
    if (working > 0) return;
    const [next] = [...timers].sort(([, a], [, b]) => a.due - b.due);
    if (next === undefined) return;
    const [id, timer] = next;
    now = timer.due;
    timers.delete(id);
    const { interval } = timer;
    if (interval) timers.set(id, { ...timer, due: now + interval });
    try {
      timer.call();
    } finally {
      turn();
    }
  });
}

Object.assign(globalThis, {
  setTimeout: (call: Callback, delay?: number, ...args: []) =>
    start(() => call(...args), delay),
  setInterval: (call: Callback, delay?: number, ...args: []) =>
    start(() => call(...args), delay, true),
  clearTimeout: (id?: number) => timers.delete(id!),
  clearInterval: (id?: number) => timers.delete(id!),
});
performance.now = () => now;

const { digest } = crypto.subtle;
crypto.subtle.digest = async (...args) => {
  working++;
  try {
    return await digest.apply(crypto.subtle, args);
  } finally {
    working--;
    turn();
  }
};

// Like Deno's own check of timers.
Deno.test.afterEach(() => {
  const left = timers.size;
  timers.clear();
  if (left > 0) throw new Error(`${left} timers were started and not cleared`);
});
