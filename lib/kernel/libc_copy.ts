/**
 * Reading and writing in a child process.
 *
 * While a read or a write of an attribute is stuck in the kernel, no signal
 * ends the process that makes it, and a process with threads ends only when its
 * last thread does. A thread of this process that got stuck would therefore
 * keep it from ending. A child process can be stuck without that.
 *
 * @module
 */

import { O_WRONLY } from "../uapi/linux/fcntl.ts";
import type { CHILD } from "./libc_symbols.ts";

/** Functions of libc by which processes are started and awaited. */
export type ChildSymbols = Deno.DynamicLibrary<typeof CHILD>["symbols"];

/** `bits/spawn.h`: the child is out of reach of the terminal's signals. */
const POSIX_SPAWN_SETSID = 0x80;

/** `linux/memfd.h`. */
const MFD_CLOEXEC = 1;

/** `bits/waitflags.h`. */
const WNOHANG = 1;

/**
 * Larger than `posix_spawnattr_t` and `posix_spawn_file_actions_t`, which have
 * 336 and 80 bytes.
 */
const OPAQUE_BYTES = 512;

/** The most that is read at once. Attributes of sysfs have one page. */
const BLOCK_BYTES = 64 * 1024;

/**
 * Writes to a descriptor with one write.
 *
 * @param libc Functions of libc.
 * @param fd The descriptor.
 * @param bytes What is written.
 * @returns Whether the write succeeded; `undefined` where no child process
 * could be started.
 */
export async function writeInChild(
  libc: ChildSymbols,
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<boolean | undefined> {
  // dd(1) would make no write for an empty text.
  if (bytes.length === 0) return undefined;
  return await withMemory(libc, async (memory) => {
    const length = BigInt(bytes.length);
    // The position stays at the beginning.
    if (libc.pwrite(memory, bytes, length, 0n) !== length) return undefined;
    return await copyInChild(libc, memory, fd, bytes.length);
  });
}

/**
 * Reads a descriptor to its end.
 *
 * @param libc Functions of libc.
 * @param fd The descriptor.
 * @returns The text, or `false` where the read failed; `undefined` where no
 * child process could be started.
 */
export async function readInChild(
  libc: ChildSymbols,
  fd: number,
): Promise<string | false | undefined> {
  return await withMemory(libc, async (memory) => {
    const copied = await copyInChild(libc, fd, memory, BLOCK_BYTES);
    return copied ? textOf(libc, memory) : copied;
  });
}

/**
 * Calls `use` with an anonymous file; returns `undefined` where none can be
 * made.
 */
async function withMemory<T>(
  libc: ChildSymbols,
  use: (memory: number) => Promise<T>,
): Promise<T | undefined> {
  const memory = libc.memfd_create(cString("passthru"), MFD_CLOEXEC);
  if (memory < 0) return undefined;
  try {
    return await use(memory);
  } finally {
    libc.close(memory);
  }
}

function textOf(libc: ChildSymbols, memory: number): string {
  const decoder = new TextDecoder();
  const block = new Uint8Array(BLOCK_BYTES);
  let text = "";
  for (let at = 0n;;) {
    const count = libc.pread(memory, block, BigInt(block.length), at);
    if (count <= 0n) return text + decoder.decode();
    // A character can lie across two reads.
    const part = block.subarray(0, Number(count));
    text += decoder.decode(part, { stream: true });
    at += count;
  }
}

/** Copies from one descriptor to another, at their positions. */
async function copyInChild(
  libc: ChildSymbols,
  from: number,
  to: number,
  block: number,
): Promise<boolean | undefined> {
  const pid = spawnCopy(libc, from, to, block);
  return pid === undefined ? undefined : await succeeded(libc, pid);
}

function spawnCopy(
  libc: ChildSymbols,
  from: number,
  to: number,
  block: number,
): number | undefined {
  const actions = new Uint8Array(OPAQUE_BYTES);
  const attributes = new Uint8Array(OPAQUE_BYTES);
  const pid = new Int32Array(1);
  const words = ["dd", `bs=${block}`].map(cString);
  const argv = BigUint64Array.of(...words.map(addressOf), 0n);
  libc.posix_spawn_file_actions_init(actions);
  libc.posix_spawnattr_init(attributes);
  try {
    libc.posix_spawn_file_actions_adddup2(actions, from, 0);
    libc.posix_spawn_file_actions_adddup2(actions, to, 1);
    // dd's messages do not belong into this process's standard error.
    const none = cString("/dev/null");
    libc.posix_spawn_file_actions_addopen(actions, 2, none, O_WRONLY, 0);
    // glibc 2.34 has it. Descriptors of this library are close-on-exec anyway.
    libc.posix_spawn_file_actions_addclosefrom_np?.(actions, 3);
    libc.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID);
    const errno = libc.posix_spawnp(
      pid,
      words[0]!,
      actions,
      attributes,
      argv,
      BigUint64Array.of(0n),
    );
    return errno === 0 ? pid[0]! : undefined;
  } finally {
    libc.posix_spawn_file_actions_destroy(actions);
    libc.posix_spawnattr_destroy(attributes);
  }
}

async function succeeded(libc: ChildSymbols, pid: number): Promise<boolean> {
  const status = new Int32Array(1);
  for (;;) {
    if (await libc.waitpid(pid, status, 0) === pid) return status[0] === 0;
    // A signal interrupted the wait, or somebody else has waited for the child.
    const now = libc.waitpid_now(pid, status, WNOHANG);
    if (now !== 0) return now === pid && status[0] === 0;
  }
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}
