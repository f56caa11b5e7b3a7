/**
 * Simulates the sockets by which the kernel tells what happens to devices
 * (`lib/kobject_uevent.c`).
 *
 * @module
 */

import { POLLIN } from "../../uapi/linux/poll.ts";
import { KERNEL_EVENTS, sockaddr_nl } from "../../uapi/linux/netlink.ts";
import type { OpenFile } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "./refusal.ts";

/** A socket that gets the kernel's messages once it is bound to their group. */
export class UeventSocket implements OpenFile {
  readonly linkText = "socket:[2]";
  readonly #machine: Machine;
  readonly #messages: Uint8Array[] = [];
  readonly #waiters = new Set<() => void>();

  /** @param machine The machine whose events it gets. */
  constructor(machine: Machine) {
    this.#machine = machine;
  }

  bindAddress(address: Uint8Array): void {
    if (address.length < sockaddr_nl.size) refuse("EINVAL");
    const { nl_groups } = sockaddr_nl.decode(address);
    if ((nl_groups & KERNEL_EVENTS) === 0) return;
    this.#machine.listeners.add(this.#hear);
  }

  readonly #hear = (event: string): void => {
    const [action = "", path = ""] = event.split("@");
    const fields = [event, `ACTION=${action}`, `DEVPATH=${path}`];
    this.#messages.push(new TextEncoder().encode(`${fields.join("\0")}\0`));
    for (const wake of [...this.#waiters]) wake();
    this.#waiters.clear();
  };

  read(into: Uint8Array): number {
    const message = this.#messages.shift() ?? refuse("EAGAIN");
    const part = message.subarray(0, into.length);
    into.set(part);
    return part.length;
  }

  poll(changed: () => void): number {
    if (this.#messages.length > 0) return POLLIN;
    this.#waiters.add(changed);
    return 0;
  }

  close(): void {
    this.#machine.listeners.delete(this.#hear);
  }
}
