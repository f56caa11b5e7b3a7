/**
 * Time that passes when nothing else can happen. Imported for its effect, it
 * replaces this module's timers and `performance.now()`: where the code under
 * test waits for a second, none is waited for, and where two things wait, the
 * one that is due first comes first, however busy the machine is.
 *
 * @module
 */
import { setImmediate } from "node:timers";

/** What a timer calls. */
type Callback = () => void;

/** A timer that has not come. */
interface Timer {
  /** When it comes, in milliseconds. */
  readonly due: number;
  readonly call: Callback;
  /** How often it comes again, in milliseconds. */
  readonly interval?: number;
}

let now = 0;
let last = 0;
let isTurning = false;
/** What other threads are at, during which no time passes. */
let working = 0;
const timers = new Map<number, Timer>();

function start(call: Callback, delay = 0, repeats = false): number {
  const interval = Math.max(1, delay);
  const own = repeats ? { interval } : {};
  timers.set(++last, { due: now + Math.max(0, delay), call, ...own });
  turn();
  return last;
}

/** Has the next timer come once all that can happen before it has happened. */
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

// As Deno says of its own timers.
Deno.test.afterEach(() => {
  const left = timers.size;
  timers.clear();
  if (left > 0) throw new Error(`${left} timers were started and not cleared`);
});
