import type { Ownership } from "../../../backends/backend.ts";
import type { Member } from "../../dma/members.ts";
import type { HostDevice } from "../../host/device.ts";
import type { Host } from "../../host/host.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Region } from "../regions/region.ts";
import type { RegisterGate } from "../regions/register_gate.ts";
import { Turns } from "./turns.ts";

/** An attached device, as far as a reset uses it. */
export interface Resettable extends Member {
  /** Its name. */
  readonly name: string;
  /** The device as the host has it. */
  readonly hostDevice: HostDevice;
  /** Its address space. */
  readonly space: { readonly host: Host };
  /** Whether the kernel can reset it alone. */
  readonly info: { readonly resettable: boolean };
  /** Whether it is still attached. */
  readonly attached: boolean;
  /** Its config space; throws `DETACHED` once it is detached. */
  readonly config: Region;
  /** Allows or forbids it to start DMA. */
  setBusMaster(enabled: boolean): void;
}

/** What a reset needs besides, which only the device has. */
export interface ResetAccess {
  /** What the kernel knows it by. */
  readonly ownership: Ownership;
  /** Closes its mapped registers. */
  readonly gate: RegisterGate;
  /** Its descriptor; throws `DETACHED` once it is detached. */
  handle(): Fd;
}

/** What resets a device: its own resets, and the hot resets of its neighbours. */
export interface ResetTarget extends ResetAccess {
  /** The device. */
  readonly device: Resettable;
  /** One reset of it at a time. */
  readonly turns: Turns;
}

const TARGETS = new WeakMap<Member, ResetTarget>();

/**
 * Makes a device known to the hot resets of its neighbours.
 *
 * @param device The device.
 * @param access What only the device has.
 */
export function enroll(
  device: Resettable,
  access: ResetAccess,
): ResetTarget {
  const target = { ...access, device, turns: new Turns() };
  TARGETS.set(device, target);
  return target;
}

/** What resets the device that an address space knows as this. */
export function enrolled(member: Member): ResetTarget | undefined {
  return TARGETS.get(member);
}
