import type { RegisterViews } from "../kernel/kernel.ts";
import type { Bar } from "./models/model.ts";

/**
 * Views by which each access to a mapped BAR is one access of the device.
 *
 * @param bar The BAR.
 * @param start Where the mapping begins in it, in bytes.
 * @param memory The mapped memory, whose length the views have.
 */
export function registerViews(
  bar: Bar,
  start: number,
  memory: ArrayBuffer,
): RegisterViews {
  const numbers = <T extends Uint8Array | Uint16Array | Uint32Array>(
    words: T,
  ): T =>
    accessed(
      words,
      (at, width) => Number(bar.read(start + at, width)),
      (at, width, value) =>
        bar.write(start + at, width, BigInt(value as number)),
    );
  return {
    u8: numbers(new Uint8Array(memory)),
    u16: numbers(new Uint16Array(memory)),
    u32: numbers(new Uint32Array(memory)),
    u64: accessed(
      new BigUint64Array(memory),
      (at, width) => bar.read(start + at, width),
      (at, width, value) => bar.write(start + at, width, value as bigint),
    ),
  };
}

function accessed<
  T extends Uint8Array | Uint16Array | Uint32Array | BigUint64Array,
>(
  words: T,
  read: (at: number, width: number) => number | bigint,
  write: (at: number, width: number, value: unknown) => void,
): T {
  const width = words.BYTES_PER_ELEMENT;
  return new Proxy(words, {
    get(target, key) {
      const index = Number(key);
      return index < target.length ? read(index * width, width) : undefined;
    },
    set(target, key, value) {
      const index = Number(key);
      if (index < target.length) write(index * width, width, value);
      return true;
    },
  });
}
