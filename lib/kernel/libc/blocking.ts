import {
  SYS_close,
  SYS_ioctl,
  SYS_ppoll,
  SYS_read,
  SYS_wait4,
  SYS_write,
} from "../../uapi/linux/syscall.ts";
import type { MachineCode } from "./code.ts";

// A register for which there is no argument holds anything: a call gets as many
// as it has.

/** A system call whose arguments are numbers. */
const NUMBERS = {
  parameters: [
    "usize", // the number of the call
    "isize",
    "usize",
    "usize",
    "usize",
  ],
  result: "isize",
  nonblocking: true,
} as const satisfies Deno.ForeignFunction;

/** A system call whose second argument is memory. */
const MEMORY_SECOND = {
  parameters: [
    "usize", // the number of the call
    "isize",
    "buffer",
    "usize",
    "usize",
  ],
  result: "isize",
  nonblocking: true,
} as const satisfies Deno.ForeignFunction;

/** A system call whose third argument is memory. */
const MEMORY_THIRD = {
  parameters: [
    "usize", // the number of the call
    "isize",
    "usize",
    "buffer",
  ],
  result: "isize",
  nonblocking: true,
} as const satisfies Deno.ForeignFunction;

/** `ppoll`, whose first and third arguments are memory. */
const POLL = {
  parameters: [
    "usize", // the number of the call
    "buffer", // struct pollfd *fds
    "usize", // nfds_t nfds
    "buffer", // const struct timespec *tmo_p
    "usize", // const sigset_t *sigmask
  ],
  result: "isize",
  nonblocking: true,
} as const satisfies Deno.ForeignFunction;

/**
 * System calls that are made on another thread, while the event loop goes on.
 * Each is made once, and gives what the kernel returned: the result, or the
 * negative errno.
 */
export class BlockingCalls {
  readonly #numbers: Deno.UnsafeFnPointer<typeof NUMBERS>;
  readonly #memorySecond: Deno.UnsafeFnPointer<typeof MEMORY_SECOND>;
  readonly #memoryThird: Deno.UnsafeFnPointer<typeof MEMORY_THIRD>;
  readonly #poll: Deno.UnsafeFnPointer<typeof POLL>;

  /** @param code The routine that makes them. */
  constructor({ call }: MachineCode) {
    this.#numbers = new Deno.UnsafeFnPointer(call, NUMBERS);
    this.#memorySecond = new Deno.UnsafeFnPointer(call, MEMORY_SECOND);
    this.#memoryThird = new Deno.UnsafeFnPointer(call, MEMORY_THIRD);
    this.#poll = new Deno.UnsafeFnPointer(call, POLL);
  }

  /** `ioctl(2)`. */
  async ioctl(
    fd: number,
    request: number,
    argument: Uint8Array<ArrayBuffer> | bigint,
  ): Promise<number> {
    const number = BigInt(SYS_ioctl);
    return Number(
      typeof argument === "bigint"
        ? await this.#numbers.call(
          number,
          BigInt(fd),
          BigInt(request),
          argument,
          0n,
        )
        : await this.#memoryThird.call(
          number,
          BigInt(fd),
          BigInt(request),
          argument,
        ),
    );
  }

  /** `close(2)`. */
  async close(fd: number): Promise<number> {
    return Number(
      await this.#numbers.call(BigInt(SYS_close), BigInt(fd), 0n, 0n, 0n),
    );
  }

  /** `read(2)`. */
  async read(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    return await this.#transfer(SYS_read, fd, into);
  }

  /** `write(2)`. */
  async write(fd: number, from: Uint8Array<ArrayBuffer>): Promise<number> {
    return await this.#transfer(SYS_write, fd, from);
  }

  async #transfer(
    call: number,
    fd: number,
    bytes: Uint8Array<ArrayBuffer>,
  ): Promise<number> {
    return Number(
      await this.#memorySecond.call(
        BigInt(call),
        BigInt(fd),
        bytes,
        BigInt(bytes.length),
        0n,
      ),
    );
  }

  /**
   * `ppoll(2)` without a signal mask.
   *
   * @param fds `pollfd` structs.
   * @param count How many.
   * @param timeout A `timespec`; without one there is no limit.
   */
  async poll(
    fds: Uint8Array<ArrayBuffer>,
    count: number,
    timeout: BigInt64Array<ArrayBuffer> | null,
  ): Promise<number> {
    return Number(
      await this.#poll.call(
        BigInt(SYS_ppoll),
        fds,
        BigInt(count),
        timeout,
        0n,
      ),
    );
  }

  /** `wait4(2)` for a child process; its status is not asked for. */
  async wait(pid: number): Promise<number> {
    return Number(
      await this.#numbers.call(BigInt(SYS_wait4), BigInt(pid), 0n, 0n, 0n),
    );
  }

  /**
   * `wait4(2)` for a child process.
   *
   * @param pid The child's process id.
   * @param status Gets its `int` of a status.
   */
  async waitFor(
    pid: number,
    status: Uint8Array<ArrayBuffer>,
  ): Promise<number> {
    return Number(
      await this.#memorySecond.call(
        BigInt(SYS_wait4),
        BigInt(pid),
        status,
        0n,
        0n,
      ),
    );
  }
}
