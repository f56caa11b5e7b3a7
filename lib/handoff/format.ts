/**
 * What a format is.
 *
 * @module
 */

import { VfioError } from "../errors.ts";
import type { DeviceHost } from "../host/device.ts";
import type { Handed } from "./handed.ts";

/** The name of a format. */
export type HandoffFormat =
  | "ansible"
  | "cdi"
  | "cloud-hypervisor"
  | "cloud-hypervisor-api"
  | "dra"
  | "env"
  | "kubevirt"
  | "kubevirt-machine"
  | "libvirt"
  | "libvirt-nodedev"
  | "qemu"
  | "sriov-device-plugin"
  | "systemd";

/** How devices are handed over. A format refuses what it does not have. */
export interface HandoffOptions {
  /**
   * Whether the devices are opened by their own nodes and an iommufd, not by
   * their groups.
   *
   * @default {false}
   */
  readonly iommufd?: boolean;
  /**
   * libvirt: whether it binds the functions itself and gives them back.
   *
   * @default {false}
   */
  readonly managed?: boolean;
  /**
   * The name under which the devices are asked for: CDI's kind, the resource of
   * Kubernetes, the class of DRA, the variable of `env`, or the unit. Default:
   * `"passthru.local/vfio"`, and `"passthru"` for a unit.
   */
  readonly name?: string;
  /** The host's name, for formats that have it. Default: this host's. */
  readonly node?: string;
  /** The version of the program that reads it: `"9.0"`. Default: a new one. */
  readonly consumer?: string;
  /**
   * systemd: the words of the `passthru` command. Default: `["passthru"]`,
   * which systemd looks up in its own path.
   */
  readonly command?: readonly string[];
}

/** What is handed over, and how. */
export interface Handoff {
  /** The host. */
  readonly host: DeviceHost;
  /** The devices, each once, in their order. */
  readonly devices: readonly Handed[];
  /** How. */
  readonly options: HandoffOptions;
}

/** A text for the consumer, and what it cannot say. */
export interface Emitted {
  /** The text, with a newline at its end. */
  readonly text: string;
  /** What who uses it has to know, a sentence each. */
  readonly notes: readonly string[];
}

/** Writes devices in a format. */
export interface Format {
  /** What it is, in a line. */
  readonly about: string;
  /** The options that it has. */
  readonly options: readonly (keyof HandoffOptions)[];
  /** Writes the devices, or throws what cannot be written. */
  readonly write: (handoff: Handoff) => Emitted;
}

/** The name of the devices, where none is given. */
export const DEFAULT_NAME = "passthru.local/vfio";

/** Writes a value as JSON, over several lines. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/**
 * Refuses what the consumer's version does not have.
 *
 * @param options The version.
 * @param what What it has to have, as in "libvirt has no iommufd".
 * @param least The version that has it, of one part or two: `"12.1"`.
 * @throws {VfioError} `NOT_SUPPORTED` when it is older.
 * @throws {TypeError} When it is no version.
 */
export function assertVersion(
  { consumer }: HandoffOptions,
  program: string,
  what: string,
  least: string,
): void {
  if (consumer === undefined || isAtLeast(consumer, least)) return;
  throw new VfioError("NOT_SUPPORTED", {
    problem: `${program} ${consumer} has no ${what}: ${program} ${least} has`,
    hint: `use ${program} ${least} or newer, or leave that out`,
  });
}

/** Checks that a text is a version. */
export function assertIsVersion(consumer: string): void {
  if (/^\d{1,6}(\.\d{1,6}){0,3}$/.test(consumer)) return;
  throw new TypeError(
    `The consumer's version is ${JSON.stringify(consumer)}: expected numbers ` +
      'such as "9.0"',
  );
}

function isAtLeast(version: string, least: string): boolean {
  const parts = version.split(".").map(Number);
  for (const [i, wanted] of least.split(".").map(Number).entries()) {
    const part = parts[i] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

/** The error for what a format cannot express. */
export function inexpressible(
  device: string | undefined,
  problem: string,
  hint: string,
): VfioError {
  return new VfioError("NOT_SUPPORTED", { device, problem, hint });
}
