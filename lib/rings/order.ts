/**
 * The order in which a device and this process see each other's accesses to
 * memory that both use. Sources: `dma_wmb`, `dma_rmb` and `writel` of Linux
 * (`arch/x86/include/asm/barrier.h`, `arch/arm64/include/asm/barrier.h` and
 * `io.h`), and the code that V8 15 makes.
 *
 * What the compiler does: V8 keeps stores to typed arrays as they are and in
 * their order, and a load behind a branch stays behind it. Two loads without
 * an effect between them can become one. The language promises none of this,
 * so `tests/host/order_test.ts` watches it.
 *
 * What the processor does:
 *
 * - x86-64 keeps loads in order, stores in order, and a load before later
 *   stores. Only a later load can overtake a store: {@linkcode fence}.
 * - arm64 keeps none of these orders: all three functions are needed.
 *
 * @module
 */

const ARM64 = Deno.build.arch === "aarch64";

/** A WebAssembly module that exports `f`, which is `atomic.fence`. */
const FENCE_MODULE = Uint8Array.fromHex(
  "0061736d01000000" + // the magic number and version 1
    "010401600000" + // one type: a function from nothing to nothing
    "03020100" + // one function of that type
    "07050101660000" + // exported as "f"
    "0a07010500fe03000b", // its code: atomic.fence, end
);

/**
 * Makes a full fence out of WebAssembly: `dmb ish` on arm64, `mfence` on
 * x86-64.
 *
 * Linux uses `dmb osh` for devices: the outer shareable domain rather than the
 * inner one. Where a device is in the outer domain only, `dmb ish` does not
 * order for it by the letter of the architecture. Nothing that Deno offers
 * makes `dmb osh`, and no such machine was tried.
 */
export function wasmFence(): () => void {
  const module = new WebAssembly.Module(FENCE_MODULE);
  return new WebAssembly.Instance(module).exports.f as () => void;
}

const armFence = ARM64 ? wasmFence() : undefined;

/** A word of its own: a locked instruction on any word is a full fence. */
const scratch = new Int32Array(1);

/**
 * Orders stores: a device that sees a store after it also sees the stores
 * before it. Call it between the last store of a descriptor and the store that
 * hands the descriptor over: a doorbell, or a bit that says whose it is.
 *
 * On x86-64 it does nothing, as the processor keeps stores in order.
 */
export function publish(): void {
  if (ARM64) armFence!();
}

/**
 * Orders loads: those after it are not older than the value that was seen at
 * `words[index]`. Call it between the load that shows that the device has
 * finished, and the loads of what it has written.
 *
 * On x86-64 it does nothing. On arm64 it loads the word anew, by an
 * instruction that later loads do not overtake (`ldar`).
 *
 * @param words A view of the memory.
 * @param index The word that was seen to change.
 */
export function acquire(words: Int32Array | Uint32Array, index: number): void {
  if (ARM64) Atomics.load(words, index);
}

/**
 * Orders everything: loads after it are not older than stores before it. Call it
 * between writing an index and reading the other side's, where each side
 * decides by the other's index whether to notify it.
 *
 * `Atomics.load` and `Atomics.store` are not that: on x86-64 the first is an
 * ordinary load. It takes about 12 ns.
 */
export function fence(): void {
  if (ARM64) armFence!();
  else Atomics.add(scratch, 0, 0);
}
