import type { RegisterViews } from "../../kernel/kernel.ts";
import type { Bar } from "../models/model.ts";

type Words = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

const SIGBUS =
  "A real process would be ended by SIGBUS: the function's memory " +
  "decoding is off (PCI_COMMAND_MEMORY), or it sleeps";

/**
 * Makes views of a mapped BAR. Each access to a view is one access to the
 * device.
 *
 * @param bar The BAR.
 * @param start The offset of the mapping in the BAR, in bytes.
 * @param memory The mapped memory. The views have its length.
 * @param isDecoded Returns whether memory decoding is on, and it is awake.
 */
export function registerViews(
  bar: Bar,
  start: number,
  memory: ArrayBuffer,
  isDecoded: () => boolean,
): RegisterViews {
  const accessed = <T extends Words>(
    words: T,
    fromDevice: (value: bigint) => T[number],
  ): T => {
    const width = words.BYTES_PER_ELEMENT;
    const offsetOf = (key: string | symbol): number | undefined => {
      const index = typeof key === "symbol" ? NaN : Number(key);
      // A detached view has no elements.
      if (!(index < words.length)) return undefined;
      if (!isDecoded()) throw new Error(SIGBUS);
      return start + index * width;
    };
    return new Proxy(words, {
      get(_, key) {
        const offset = offsetOf(key);
        return offset === undefined
          ? undefined
          : fromDevice(bar.read(offset, width));
      },
      set(_, key, value) {
        const offset = offsetOf(key);
        if (offset !== undefined) bar.write(offset, width, BigInt(value));
        return true;
      },
    });
  };
  const count = (width: number) => Math.floor(memory.byteLength / width);
  return {
    u8: accessed(new Uint8Array(memory), Number),
    u16: accessed(new Uint16Array(memory, 0, count(2)), Number),
    u32: accessed(new Uint32Array(memory, 0, count(4)), Number),
    u64: accessed(new BigUint64Array(memory, 0, count(8)), (value) => value),
  };
}
