import { EFD_CLOEXEC } from "../../uapi/linux/eventfd.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epoll_event,
  EPOLLIN,
  EPOLLONESHOT,
} from "../../uapi/linux/epoll.ts";
import {
  type Bytes,
  bytes,
  type I32,
  i32,
  type Struct,
  struct,
  type U32,
  u32,
  type U64,
  u64,
} from "../../uapi/layout.ts";
import { errnoNumber } from "../errno.ts";
import type { EventSource } from "../kernel.ts";
import type { MachineCode } from "./code.ts";
import { files } from "./files.ts";
import { errno, fail, lazily } from "./library.ts";
import { NativeMemory } from "./memory.ts";

export const eventfds = lazily({
  eventfd: {
    parameters: [
      "u32", // unsigned int initval
      "i32", // int flags
    ],
    result: "i32",
  },
});

const watching = lazily({
  epoll_create1: {
    parameters: [
      "i32", // int flags
    ],
    result: "i32",
  },
  epoll_ctl: {
    parameters: [
      "i32", // int epfd
      "i32", // int op
      "i32", // int fd
      "buffer", // struct epoll_event *event
    ],
    result: "i32",
  },
  pthread_create: {
    parameters: [
      "buffer", // pthread_t *thread
      "pointer", // const pthread_attr_t *attr
      "pointer", // void *(*start_routine)(void *)
      "pointer", // void *arg
    ],
    result: "i32",
  },
  pthread_join: {
    parameters: [
      "u64", // pthread_t thread
      "pointer", // void **retval
    ],
    result: "i32",
    nonblocking: true,
  },
  eventfd_read: {
    parameters: [
      "i32", // int fd
      "buffer", // eventfd_t *value
    ],
    result: "i32",
  },
  eventfd_write: {
    parameters: [
      "i32", // int fd
      "u64", // eventfd_t value
    ],
    result: "i32",
  },
});

const EAGAIN = errnoNumber("EAGAIN");

/** How many descriptors are reported at once. */
const BATCH = 64;

/** As a `timespec`. */
const MILLISECOND = new Uint8Array(BigInt64Array.of(0n, 1_000_000n).buffer);

/** What the thread's routine reads (`code.ts`). */
const watch_thread: Struct<{
  epoll: I32;
  count: I32;
  events: U64;
  callback: U64;
  closed: U32;
  reported: U32;
  pause: Bytes;
}> = struct("watch_thread", {
  /** The descriptor of the epoll instance. */
  epoll: i32,
  /** How many events there is room for. */
  count: i32,
  /** The address of the events. */
  events: u64,
  /** Called with the number of events; the thread ends when it returns 0. */
  callback: u64,
  /** While it is not 0, nothing is called. */
  closed: u32,
  /** How many events there are now; the thread writes it. */
  reported: u32,
  /** A `timespec`: how often `closed` is looked at. */
  pause: bytes(16),
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
  readonly #code: MachineCode;
  /** The low and the high half of a count. */
  readonly #count = new Uint32Array(2);
  #thread: WatchThread | undefined;

  /** @param code The routine of the thread. */
  constructor(code: MachineCode) {
    this.#code = code;
  }

  /**
   * Begins to watch an eventfd, which stays open until it is released.
   *
   * @param fd The descriptor.
   */
  add(fd: number): EventSource {
    const thread = this.#thread ?? new WatchThread(this.#code);
    try {
      const watched = thread.add(fd);
      return {
        arm: (ready, inBackground) => thread.arm(watched, ready, inBackground),
        disarm: () => thread.disarm(watched),
        read: () => this.#read(fd),
        release: () => {
          thread.remove(watched);
          if (!thread.isUnused) return;
          this.#thread = undefined;
          return thread.stop();
        },
      };
    } finally {
      this.#thread = thread.isUnused ? undefined : thread;
      if (thread.isUnused) thread.stop();
    }
  }

  #read(fd: number): number | undefined {
    const count = this.#count;
    if (watching().eventfd_read(fd, count) === 0) {
      return count[0]! + count[1]! * 2 ** 32;
    }
    const failure = errno[0]!;
    return failure === EAGAIN ? undefined : fail(failure, "read");
  }
}

/** A descriptor, and what is called when it is ready. */
interface Watched {
  readonly fd: number;
  /** What the kernel gives for it. Its number could become another's. */
  readonly id: number;
  /** Asks the kernel to report it once. */
  readonly event: Uint8Array<ArrayBuffer>;
  ready: (() => void) | undefined;
}

/** A thread that waits by `epoll_pwait`, and calls back. */
class WatchThread {
  readonly #epoll: number;
  /** Readable when the thread is to end. */
  readonly #end: number;
  /** A `watch_thread`, and room for events. */
  readonly #memory: NativeMemory;
  readonly #view: DataView;
  readonly #callback: Deno.UnsafeCallback<typeof CALLBACK>;
  readonly #thread = new BigUint64Array(1);
  readonly #watched = new Map<number, Watched>();
  /** Those that the process stays for. */
  readonly #awaited = new Set<Watched>();
  #lastId = END;
  #ended = false;
  #stopped = false;

  constructor(code: MachineCode) {
    const { epoll_create1, pthread_create } = watching();
    this.#epoll = epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) fail(errno[0]!, "epoll_create1");
    this.#end = eventfds().eventfd(0, EFD_CLOEXEC);
    this.#control(EPOLL_CTL_ADD, this.#end, eventOf(END, EPOLLIN));
    this.#callback = Deno.UnsafeCallback.threadSafe(
      CALLBACK,
      (count) => this.#report(count),
    );
    this.#callback.unref();
    this.#memory = new NativeMemory(
      watch_thread.size + BATCH * epoll_event.size,
    );
    const { bytes, address, pointer } = this.#memory;
    this.#view = new DataView(bytes.buffer);
    watch_thread.encode(bytes, {
      epoll: this.#epoll,
      count: BATCH,
      events: address + BigInt(watch_thread.size),
      callback: BigInt(Deno.UnsafePointer.value(this.#callback.pointer)),
      closed: 0,
      reported: 0,
      pause: MILLISECOND,
    });
    addEventListener("unload", this.#close);
    addEventListener("error", this.#closeForNow);
    addEventListener("unhandledrejection", this.#closeForNow);
    pthread_create(this.#thread, null, code.watch, pointer);
  }

  // Deno frees the callback when it ends, while this thread goes on.
  readonly #close = () => this.#setClosed(1);

  // An error ends Deno, unless a listener prevents that.
  readonly #closeForNow = () => {
    this.#close();
    setTimeout(() => this.#setClosed(0));
  };

  #setClosed(closed: number): void {
    if (this.#stopped) return;
    this.#view.setUint32(watch_thread.offset.closed, closed, true);
  }

  add(fd: number): Watched {
    const id = ++this.#lastId;
    const event = eventOf(id, EPOLLIN | EPOLLONESHOT);
    this.#control(EPOLL_CTL_ADD, fd, eventOf(id, 0));
    const watched = { fd, id, event, ready: undefined };
    this.#watched.set(id, watched);
    return watched;
  }

  arm(watched: Watched, ready: () => void, inBackground = false): void {
    this.#control(EPOLL_CTL_MOD, watched.fd, watched.event);
    watched.ready = ready;
    if (inBackground) this.#leave(watched);
    else {
      if (this.#awaited.size === 0) this.#callback.ref();
      this.#awaited.add(watched);
    }
  }

  disarm(watched: Watched): void {
    watched.ready = undefined;
    this.#leave(watched);
  }

  /** Lets the process end while this one is not ready. */
  #leave(watched: Watched): void {
    if (this.#awaited.delete(watched) && this.#awaited.size === 0) {
      this.#callback.unref();
    }
  }

  remove(watched: Watched): void {
    this.disarm(watched);
    this.#watched.delete(watched.id);
    this.#control(EPOLL_CTL_DEL, watched.fd, watched.event);
  }

  /** Whether it has no descriptor to wait for. */
  get isUnused(): boolean {
    return this.#watched.size === 0;
  }

  /** Ends the thread, and closes what it used when it has ended. */
  async stop(): Promise<void> {
    this.#ended = true;
    watching().eventfd_write(this.#end, 1n);
    await watching().pthread_join(this.#thread[0]!, null);
    this.#stopped = true;
    removeEventListener("unload", this.#close);
    removeEventListener("error", this.#closeForNow);
    removeEventListener("unhandledrejection", this.#closeForNow);
    this.#callback.close();
    this.#memory[Symbol.dispose]();
    files().close(this.#end);
    files().close(this.#epoll);
  }

  #report(count: number): number {
    const { offset, size } = epoll_event;
    for (let i = 0; i < count; i++) {
      const event = watch_thread.size + i * size;
      const id = this.#view.getUint32(event + offset.data, true);
      const watched = this.#watched.get(id);
      const ready = watched?.ready;
      if (ready === undefined) continue;
      watched!.ready = undefined;
      ready();
      // Mostly it is armed again by now, and the process stays.
      if (watched!.ready === undefined) this.disarm(watched!);
    }
    return this.#ended ? 0 : 1;
  }

  #control(
    operation: number,
    fd: number,
    event: Uint8Array<ArrayBuffer>,
  ): void {
    const result = watching().epoll_ctl(this.#epoll, operation, fd, event);
    if (result < 0) fail(errno[0]!, "epoll_ctl");
  }
}

/** What the kernel gives when the thread is to end. */
const END = 0;

function eventOf(id: number, events: number): Uint8Array<ArrayBuffer> {
  return epoll_event.alloc({ events, data: BigInt(id) });
}
