/**
 * Prints the machine code that V8 makes of `lib/rings/order.ts`, as JSON: by
 * name, in hexadecimal digits. V8 lists where it is: `--perf-basic-prof`.
 *
 * @module
 */
import { acquire, fence, publish } from "../../lib/rings/mod.ts";
import { wasmFence } from "../../lib/rings/order.ts";

/** The words of memory, by byte: data, and the flag that hands it over. */
const words = new Int32Array(1024);
const FLAG = 8;
const wasm = wasmFence();

function handOver(): void {
  words[0] = 0x1234_5678;
  publish();
  words[FLAG] = 0x2345_6789;
}

function take(): number {
  if (words[FLAG] !== 0x3456_789a) return 0;
  acquire(words, FLAG);
  return words[0]!;
}

function cross(): number {
  words[0] = 0x4567_89ab;
  fence();
  return words[FLAG]!;
}

function crossByWasm(): number {
  words[0] = 0x5678_9abc;
  wasm();
  return words[FLAG]!;
}

for (let i = 0; i < 300_000; i++) {
  handOver();
  words[FLAG] = i % 2 === 0 ? 0x3456_789a : 0;
  take();
  cross();
  crossByWasm();
}

const wanted =
  /(\*|\+)'?(handOver|take|cross|crossByWasm)\b|AtomicsAdd$|AtomicsLoad$|wasm-function/;
const map = Deno.readTextFileSync(`/tmp/perf-${Deno.pid}.map`);
const found: Record<string, string> = {};
for (const line of map.split("\n")) {
  const [, address, size, name] = /^(\w+) (\w+) (.*)$/.exec(line) ?? [];
  if (name === undefined || !wanted.test(name)) continue;
  const pointer = Deno.UnsafePointer.create(BigInt(`0x${address}`))!;
  const bytes = new Uint8Array(
    Deno.UnsafePointerView.getArrayBuffer(pointer, parseInt(size!, 16)),
  );
  found[name.split(" ")[0]!] = bytes.toHex();
}
Deno.removeSync(`/tmp/perf-${Deno.pid}.map`);
console.log(JSON.stringify(found));
