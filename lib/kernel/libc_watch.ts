import { EFD_CLOEXEC } from "../uapi/linux/eventfd.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epoll_event,
  EPOLLIN,
  EPOLLONESHOT,
} from "../uapi/linux/epoll.ts";
import {
  type I32,
  i32,
  type Struct,
  struct,
  type U64,
  u64,
} from "../uapi/layout.ts";
import type { EventSource } from "./event_counts.ts";
import type { MachineCode } from "./libc_code.ts";
import type { WATCH } from "./libc_symbols.ts";

/** Functions of libc that watching needs. */
type WatchSymbols = Deno.DynamicLibrary<typeof WATCH>["symbols"];

/** How many descriptors are reported at once. */
const BATCH = 64;

/** What the thread's routine reads (`libc_code.ts`). */
const watch_thread: Struct<{
  epoll: I32;
  count: I32;
  events: U64;
  callback: U64;
}> = struct("watch_thread", {
  /** The descriptor of the epoll instance. */
  epoll: i32,
  /** How many events there is room for. */
  count: i32,
  /** The address of the events. */
  events: u64,
  /** Called with the number of events; the thread ends when it returns 0. */
  callback: u64,
});

const CALLBACK = {
  parameters: [
    "i32", // int count
  ],
  result: "i32",
} as const satisfies Deno.UnsafeCallbackDefinition;

/**
 * Waits for any number of descriptors on one thread, which runs while there are
 * any.
 */
export class Watcher {
  readonly #libc: WatchSymbols;
  readonly #code: MachineCode;
  readonly #fail: (syscall: string) => never;
  #thread: WatchThread | undefined;

  /**
   * @param libc Functions of libc.
   * @param code The routine of the thread.
   * @param fail Throws errno's error, when the call that just failed was this.
   */
  constructor(
    libc: WatchSymbols,
    code: MachineCode,
    fail: (syscall: string) => never,
  ) {
    this.#libc = libc;
    this.#code = code;
    this.#fail = fail;
  }

  /**
   * Begins to watch a descriptor, which stays open until it is released.
   *
   * @param fd The descriptor.
   * @returns What waits for it, and releases it.
   */
  add(fd: number): Omit<EventSource, "read"> {
    const thread = this.#thread ??
      new WatchThread(this.#libc, this.#code, this.#fail);
    try {
      thread.add(fd);
    } finally {
      this.#thread = thread.isUnused ? undefined : thread;
      if (thread.isUnused) thread.stop();
    }
    return {
      arm: (ready, inBackground) => thread.arm(fd, ready, inBackground),
      disarm: () => thread.disarm(fd),
      release: () => {
        thread.remove(fd);
        if (!thread.isUnused) return;
        this.#thread = undefined;
        return thread.stop();
      },
    };
  }
}

/** A thread that waits by `epoll_pwait`, and calls back. */
class WatchThread {
  readonly #libc: WatchSymbols;
  readonly #fail: (syscall: string) => never;
  readonly #epoll: number;
  /** Readable when the thread is to end. */
  readonly #end: number;
  readonly #events = new Uint8Array(BATCH * epoll_event.size);
  readonly #eventsView = new DataView(this.#events.buffer);
  readonly #event = epoll_event.alloc();
  readonly #argument: Uint8Array<ArrayBuffer>;
  readonly #callback: Deno.UnsafeCallback<typeof CALLBACK>;
  readonly #thread = new BigUint64Array(1);
  /** The descriptors, and what is called when an armed one is ready. */
  readonly #ready = new Map<number, (() => void) | undefined>();
  /** Those that the process stays for. */
  readonly #awaited = new Set<number>();
  #ended = false;

  constructor(
    libc: WatchSymbols,
    code: MachineCode,
    fail: (syscall: string) => never,
  ) {
    this.#libc = libc;
    this.#fail = fail;
    this.#epoll = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) fail("epoll_create1");
    this.#end = libc.eventfd(0, EFD_CLOEXEC);
    this.#control(EPOLL_CTL_ADD, this.#end, EPOLLIN);
    this.#callback = Deno.UnsafeCallback.threadSafe(
      CALLBACK,
      (count) => this.#report(count),
    );
    this.#callback.unref();
    this.#argument = watch_thread.alloc({
      epoll: this.#epoll,
      count: BATCH,
      events: addressOf(this.#events),
      callback: BigInt(Deno.UnsafePointer.value(this.#callback.pointer)),
    });
    libc.pthread_create(this.#thread, null, code.watch, this.#argument);
  }

  add(fd: number): void {
    this.#control(EPOLL_CTL_ADD, fd, 0);
    this.#ready.set(fd, undefined);
  }

  arm(fd: number, ready: () => void, inBackground = false): void {
    this.#control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
    this.#ready.set(fd, ready);
    if (inBackground) return;
    if (this.#awaited.size === 0) this.#callback.ref();
    this.#awaited.add(fd);
  }

  disarm(fd: number): void {
    this.#ready.set(fd, undefined);
    if (this.#awaited.delete(fd) && this.#awaited.size === 0) {
      this.#callback.unref();
    }
  }

  remove(fd: number): void {
    this.disarm(fd);
    this.#ready.delete(fd);
    this.#control(EPOLL_CTL_DEL, fd, 0);
  }

  /** Whether it has no descriptor to wait for. */
  get isUnused(): boolean {
    return this.#ready.size === 0;
  }

  /** Ends the thread, and closes what it used when it has ended. */
  async stop(): Promise<void> {
    this.#ended = true;
    this.#libc.eventfd_write(this.#end, 1n);
    await this.#libc.pthread_join(this.#thread[0]!, null);
    this.#callback.close();
    this.#libc.close(this.#end);
    this.#libc.close(this.#epoll);
  }

  #report(count: number): number {
    const { offset, size } = epoll_event;
    for (let at = 0; at < count * size; at += size) {
      const fd = this.#eventsView.getInt32(at + offset.data, true);
      const ready = this.#ready.get(fd);
      this.disarm(fd);
      ready?.();
    }
    return this.#ended ? 0 : 1;
  }

  #control(operation: number, fd: number, events: number): void {
    epoll_event.encode(this.#event, { events, data: BigInt(fd) });
    const result = this.#libc.epoll_ctl(
      this.#epoll,
      operation,
      fd,
      this.#event,
    );
    if (result < 0) this.#fail("epoll_ctl");
  }
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return BigInt(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes)));
}
