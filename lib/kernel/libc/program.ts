/**
 * Running programs of the host, such as `modprobe`.
 *
 * `posix_spawn` makes no copy of this process, whose mappings of devices would
 * keep them open. The program has nothing open but its standard streams: every
 * other descriptor is closed by `execve`.
 *
 * @module
 */

import { O_RDONLY } from "../../uapi/linux/fcntl.ts";
import { MFD_CLOEXEC } from "../../uapi/linux/memfd.ts";
import {
  FILE_ACTIONS_BYTES,
  POSIX_SPAWN_SETPGROUP,
  POSIX_SPAWN_SETSIGDEF,
  POSIX_SPAWN_SETSIGMASK,
  SIGNAL_SET_BYTES,
  SIGTERM,
  SPAWN_ATTRIBUTES_BYTES,
} from "../../uapi/linux/spawn.ts";
import { type SignalOptions, untilAborted } from "../abort.ts";
import type { Kernel, ProgramResult } from "../kernel.ts";
import type { BlockingCalls } from "./blocking.ts";
import { cString, fail, lazily, pinned, succeeded } from "./library.ts";

const INIT = {
  parameters: [
    "buffer", // posix_spawn_file_actions_t *, posix_spawnattr_t *, sigset_t *
  ],
  result: "i32",
} as const satisfies Deno.ForeignFunction;

const SET = {
  parameters: [
    "buffer", // posix_spawnattr_t *attr
    "buffer", // const sigset_t *signals
  ],
  result: "i32",
} as const satisfies Deno.ForeignFunction;

const spawning = lazily({
  posix_spawn: {
    parameters: [
      "buffer", // pid_t *pid
      "buffer", // const char *path
      "buffer", // const posix_spawn_file_actions_t *file_actions
      "buffer", // const posix_spawnattr_t *attrp
      "buffer", // char *const argv[]
      "buffer", // char *const envp[]
    ],
    result: "i32",
  },
  posix_spawn_file_actions_init: INIT,
  posix_spawn_file_actions_destroy: INIT,
  posix_spawn_file_actions_addopen: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int fd
      "buffer", // const char *path
      "i32", // int oflag
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  posix_spawn_file_actions_adddup2: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int fd
      "i32", // int newfd
    ],
    result: "i32",
  },
  // Since glibc 2.34.
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int from
    ],
    result: "i32",
    optional: true,
  },
  posix_spawnattr_init: INIT,
  posix_spawnattr_destroy: INIT,
  posix_spawnattr_setflags: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
      "i16", // short flags
    ],
    result: "i32",
  },
  posix_spawnattr_setsigdefault: SET,
  posix_spawnattr_setsigmask: SET,
  sigfillset: INIT,
  kill: {
    parameters: [
      "i32", // pid_t pid
      "i32", // int sig
    ],
    result: "i32",
  },
});

/** What a program has for an environment. */
const ENVIRONMENT: readonly string[] = [
  "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
  "LC_ALL=C",
];

/** The most of a program's output that is kept, in bytes: its end. */
const MOST_OUTPUT = 16 * 1024;

/** The calls that a program's output is read by. */
type Files = Pick<
  Kernel,
  "addressOf" | "close" | "memfd" | "pread"
>;

/**
 * Runs a program, and waits for its end.
 *
 * @param kernel Keeps its output.
 * @param blocking Waits for it.
 * @param path Its absolute path.
 * @param args Its arguments.
 * @param options A signal, which asks the program and its children to end.
 */
export async function runProgram(
  kernel: Files,
  blocking: BlockingCalls,
  path: string,
  args: readonly string[],
  { signal }: SignalOptions,
): Promise<ProgramResult> {
  const output = kernel.memfd("passthru-program", MFD_CLOEXEC);
  let pid: number;
  try {
    pid = spawn(kernel, path, [path, ...args], output);
  } catch (error) {
    kernel.close(output);
    throw error;
  }
  const status = new Int32Array(1);
  const ended = blocking.waitFor(pid, new Uint8Array(status.buffer))
    .then((result) => {
      succeeded(result, "wait4", path);
      return { status: statusOf(status[0]!), output: textOf(kernel, output) };
    })
    .finally(() => kernel.close(output));
  // Its group: a program may be a script that waits for another one.
  const end = () => void spawning().kill(-pid, SIGTERM);
  signal?.addEventListener("abort", end);
  ended.catch(() => {}).finally(() =>
    signal?.removeEventListener("abort", end)
  );
  if (signal?.aborted) end();
  return await untilAborted(ended, signal);
}

function spawn(
  kernel: Files,
  path: string,
  args: readonly string[],
  output: number,
): number {
  const c = spawning();
  const actions = new Uint8Array(FILE_ACTIONS_BYTES);
  const attributes = new Uint8Array(SPAWN_ATTRIBUTES_BYTES);
  const signals = new Uint8Array(SIGNAL_SET_BYTES);
  const pid = new Int32Array(1);
  const argv = new Strings(kernel, args);
  const envp = new Strings(kernel, ENVIRONMENT);
  c.posix_spawn_file_actions_init(actions);
  c.posix_spawnattr_init(attributes);
  try {
    const nothing = cString("/dev/null");
    c.posix_spawn_file_actions_addopen(actions, 0, nothing, O_RDONLY, 0);
    c.posix_spawn_file_actions_adddup2(actions, output, 1);
    c.posix_spawn_file_actions_adddup2(actions, output, 2);
    // This process may have inherited others that execve does not close.
    c.posix_spawn_file_actions_addclosefrom_np?.(actions, 3);
    // None is blocked, and none is ignored as this process ignores SIGPIPE.
    c.posix_spawnattr_setsigmask(attributes, signals);
    c.sigfillset(signals);
    c.posix_spawnattr_setsigdefault(attributes, signals);
    c.posix_spawnattr_setflags(
      attributes,
      POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK,
    );
    const error = c.posix_spawn(
      new Uint8Array(pid.buffer),
      cString(path),
      actions,
      attributes,
      argv.pointers,
      envp.pointers,
    );
    if (error !== 0) fail(error, "posix_spawn", path);
    return pid[0]!;
  } finally {
    c.posix_spawn_file_actions_destroy(actions);
    c.posix_spawnattr_destroy(attributes);
  }
}

/** A list of texts as C has it, which ends with a null pointer. */
class Strings {
  readonly pointers: Uint8Array<ArrayBuffer>;
  /** Kept as long as the pointers are. */
  readonly texts: readonly Uint8Array[];

  constructor({ addressOf }: Files, texts: readonly string[]) {
    this.texts = texts.map((text) => cString(text));
    const pointers = BigUint64Array.from(
      [...this.texts.map((text) => addressOf(text)), 0n],
    );
    this.pointers = new Uint8Array(pointers.buffer);
  }
}

/** The status of a shell: 128 more than the number of the signal. */
function statusOf(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? status >> 8 & 0xff : 128 + signal;
}

function textOf(kernel: Files, fd: number): string {
  const part = new Uint8Array(4096);
  let text = new Uint8Array();
  for (let at = 0n;;) {
    const count = kernel.pread(fd, pinned(part), at);
    if (count === 0) break;
    at += BigInt(count);
    const all = new Uint8Array(text.length + count);
    all.set(text);
    all.set(part.subarray(0, count), text.length);
    text = all.subarray(Math.max(0, all.length - MOST_OUTPUT));
  }
  return new TextDecoder().decode(text);
}
