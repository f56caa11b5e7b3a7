/**
 * One side of `order_test.ts`: goes through memory that another thread goes
 * through at the same time.
 *
 * @module
 */
import { acquire, fence, publish } from "../../lib/rings/mod.ts";
import { wasmFence } from "../../lib/rings/order.ts";

/** What one side is to do. */
export interface Side {
  /** The memory of both sides. */
  readonly memory: SharedArrayBuffer;
  /** 0 or 1. */
  readonly side: number;
  /** What it does with each cell. */
  readonly how: "plain" | "fence" | "wasm" | "message";
}

/** A cell has a line of the cache for each side. */
export const CELLS = 10_000;
/** Words in a line, and of each side. */
const LINE = 16;
/** How often a side goes through all cells. */
const TIMES = 20;

/** Words at the beginning, in which the sides wait for each other. */
export const HEAD = 2 * LINE;

/** The words of both sides, and what each has found. */
export const WORDS = HEAD + 2 * CELLS * LINE;

type Loop = (words: Int32Array, side: number, value: number) => number[];

/** Stores its own word, then loads the other's: neither may miss both. */
function crossing(between: () => void): Loop {
  const seen = new Int32Array(CELLS);
  return (words, side, value) => {
    for (let cell = 0; cell < CELLS; cell++) {
      const at = HEAD + 2 * cell * LINE;
      words[at + side * LINE] = value;
      between();
      seen[cell] = words[at + (1 - side) * LINE]!;
    }
    return [...seen];
  };
}

/** One side writes data, then the flag; the other waits for it. */
const passing: Loop = (words, side, value) => {
  const wrong: number[] = [];
  for (let cell = 0; cell < CELLS; cell++) {
    const data = HEAD + 2 * cell * LINE;
    const flag = data + LINE;
    if (side === 0) {
      for (let i = 0; i < 4; i++) words[data + i] = value;
      publish();
      words[flag] = value;
      continue;
    }
    while (words[flag] !== value);
    acquire(words, flag);
    for (let i = 0; i < 4; i++) {
      if (words[data + i] !== value) wrong.push(cell);
    }
  }
  return wrong;
};

const LOOPS: Readonly<Record<Side["how"], () => Loop>> = {
  plain: () => crossing(() => {}),
  fence: () => crossing(fence),
  wasm: () => crossing(wasmFence()),
  message: () => passing,
};

/** Waits until the other side is at the same place. */
function meet(words: Int32Array, side: number, value: number): void {
  Atomics.store(words, side, value);
  while (Atomics.load(words, 1 - side) < value);
}

/** The worker itself: not so where the test imports this module. */
const scope = globalThis as unknown as {
  readonly name: string;
  onmessage: (event: MessageEvent<Side>) => void;
  postMessage(found: number[][]): void;
};

if (scope.name === "order") {
  scope.onmessage = ({ data: { memory, side, how } }) => {
    const words = new Int32Array(memory);
    const loop = LOOPS[how]();
    const found: number[][] = [];
    for (let times = 1; times <= TIMES; times++) {
      meet(words, side, times);
      found.push(loop(words, side, times));
    }
    scope.postMessage(found);
  };
}
