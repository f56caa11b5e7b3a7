/**
 * Waits for what happens to the host's devices.
 *
 * The kernel tells of each device that comes, goes, or changes its driver
 * (uevents, `lib/kobject_uevent.c`), so that nothing has to be read while
 * nothing happens.
 *
 * @module
 */

import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { O_NONBLOCK } from "../../uapi/linux/fcntl.ts";
import {
  KERNEL_EVENTS,
  NETLINK_KOBJECT_UEVENT,
  sockaddr_nl,
} from "../../uapi/linux/netlink.ts";
import { POLLIN } from "../../uapi/linux/poll.ts";
import { AF_NETLINK, SOCK_DGRAM } from "../../uapi/linux/socket.ts";

/** How long devices must be quiet before somebody looks, in milliseconds. */
const QUIET = 50;
/** How long that is waited for at most, in milliseconds. */
const MOST = 2000;
/** The longest message (`UEVENT_BUFFER_SIZE`), and more. */
const MESSAGE = 8192;

/** Events of devices, from when it was made on. */
export class DeviceEvents implements Disposable {
  readonly #kernel: Kernel;
  readonly #socket: Fd;
  readonly #message = new Uint8Array(MESSAGE);

  /**
   * Begins to listen.
   *
   * @param kernel The system.
   */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    // SOCK_NONBLOCK has the value of O_NONBLOCK.
    this.#socket = Fd.adopt(
      kernel,
      kernel.socket(
        AF_NETLINK,
        SOCK_DGRAM | O_NONBLOCK,
        NETLINK_KOBJECT_UEVENT,
      ),
    );
    try {
      kernel.bind(
        this.#socket.number,
        sockaddr_nl.alloc({ nl_family: AF_NETLINK, nl_groups: KERNEL_EVENTS }),
      );
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /**
   * Waits until something happens to a device, and then until devices are
   * quiet.
   *
   * @param timeout How long at most, in milliseconds.
   * @param signal Ends the wait.
   * @throws The signal's reason.
   */
  async wait(timeout: number, signal: AbortSignal | undefined): Promise<void> {
    if (!await this.#hears(timeout, signal)) return;
    const end = performance.now() + MOST;
    while (performance.now() < end && await this.#hears(QUIET, signal));
  }

  /** Forgets what has happened so far. */
  skip(): void {
    for (;;) {
      try {
        this.#kernel.read(this.#socket.number, this.#message);
      } catch (error) {
        // ENOBUFS: some were lost, which is the same here.
        if (hasErrno(error, "ENOBUFS")) continue;
        if (hasErrno(error, "EAGAIN")) return;
        throw error;
      }
    }
  }

  async #hears(
    timeout: number,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const request = { fd: this.#socket.number, events: POLLIN };
    const [ready = 0] = await this.#kernel.pollAsync([request], timeout, {
      signal,
    });
    if (ready === 0) return false;
    this.skip();
    return true;
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    this.#socket.close();
  }
}
