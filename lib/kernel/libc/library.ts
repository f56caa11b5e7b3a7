/**
 * libc: loading its functions, and what their calls have in common.
 *
 * A C `unsigned long` or `size_t` is declared as such and given a bigint: the
 * optimised call truncates what the first calls refuse.
 *
 * @module
 */

import { KernelError } from "../errno.ts";

/** The functions that a library gives. */
export type Functions<S extends Deno.ForeignLibraryInterface> =
  Deno.DynamicLibrary<S>["symbols"];

/**
 * The errno of this thread, from the first {@linkcode lazily} loaded function
 * on. It is loaded from memory right after the call that failed: its address
 * stays the same for a thread. Any function call in between could make V8
 * compile or collect garbage, whose own system calls would overwrite errno.
 */
export let errno: Int32Array;

/**
 * Loads functions of libc when one of them is called first, as each costs half
 * a millisecond: those are declared together that are needed together.
 *
 * @param symbols The functions.
 * @returns Returns the functions.
 */
export function lazily<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): () => Functions<S> {
  let functions: Functions<S> | undefined;
  return () => functions ??= load(symbols);
}

function load<const S extends Deno.ForeignLibraryInterface>(
  symbols: S,
): Functions<S> {
  errno ??= errnoOfThread();
  return Deno.dlopen("libc.so.6", symbols).symbols;
}

function errnoOfThread(): Int32Array {
  const { __errno_location } = Deno.dlopen("libc.so.6", {
    __errno_location: { parameters: [], result: "pointer" },
  }).symbols;
  const pointer = __errno_location()!;
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
}

/** Throws the error of a system call. */
export function fail(errno: number, syscall: string, path?: string): never {
  throw new KernelError(errno, syscall, path);
}

/** The result of a system call that gives the negative errno. */
export function succeeded(
  result: number,
  syscall: string,
  path?: string,
): number {
  return result < 0 ? fail(-result, syscall, path) : result;
}

/**
 * The same bytes. A shared or resizable buffer cannot be passed by reference.
 * None of ours is either, but the type does not say so.
 */
export function pinned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>;
}

const encoder = new TextEncoder();

/** A text as C has it. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`A path has no NUL: ${JSON.stringify(text)}`);
  }
  return encoder.encode(text + "\0");
}

/** How long a path may be, its NUL included (PATH_MAX of `linux/limits.h`). */
const PATH_BYTES = 4096;

const pathBuffer = new Uint8Array(PATH_BYTES);

/**
 * A path as C has it, until the next call of this function: for calls that take
 * one path and have read it when they return.
 */
export function cPath(path: string): Uint8Array<ArrayBuffer> {
  const { length } = path;
  if (length >= PATH_BYTES) return cString(path);
  // Encoding it takes longer than opening the file.
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0 || code > 0x7f) return cString(path);
    pathBuffer[i] = code;
  }
  pathBuffer[length] = 0;
  return pathBuffer;
}
