/**
 * What drivers make of a device: nodes in `/dev`, network interfaces.
 *
 * @module
 */

import { hasErrno } from "../../kernel/errno.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { HostDevice } from "../device.ts";
import { basename, resolve } from "../path.ts";
import { ifPresent, namesIn, sysfsError } from "../sysfs.ts";

/** Something that programs reach a device by. */
export interface DriverNode {
  /** A path in `/dev`, or the name of a network interface. */
  readonly name: string;
  /** What it is. */
  readonly kind: "disk" | "partition" | "network" | "other";
  /** Its real path in sysfs. */
  readonly path: string;
}

/**
 * Where sysfs lists everything that can be a node. Those of a device are found
 * by where their links lead, without walking through the device's directories,
 * which are many.
 */
const LISTS = ["/sys/class/block", "/sys/class/net", "/sys/dev/char"];

/** All nodes and network interfaces of a host, as they are at one time. */
export class DriverNodes {
  readonly #kernel: Kernel;
  readonly #paths: readonly string[];

  /**
   * Looks at which there are.
   *
   * @param kernel The system.
   */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#paths = LISTS.flatMap((list) =>
      namesIn(kernel, list).flatMap((name) => target(kernel, list, name) ?? [])
    );
  }

  /**
   * Those of a device, and of all that its drivers have put below it.
   *
   * @param path The device's real path in sysfs.
   */
  below(path: string): DriverNode[] {
    return this.#paths.filter((each) => each.startsWith(`${path}/`))
      .flatMap((each) => nodeAt(this.#kernel, each) ?? [])
      .sort((a, b) => a.name < b.name ? -1 : 1);
  }
}

/**
 * What programs reach a device by: its nodes in `/dev` and its network
 * interfaces, and those of all that its drivers have put below it.
 *
 * @param device The device.
 * @returns The nodes by name; those that `/dev` has not got yet too.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { driverNodes } from "@passthru/vfio/host";
 *
 * for (const fn of new Host().functions()) {
 *   console.log(fn.address, driverNodes(fn).map(({ name }) => name));
 * }
 * ```
 */
export function driverNodes(
  { host, path }: Pick<HostDevice, "host" | "path">,
): DriverNode[] {
  return new DriverNodes(host.kernel).below(path);
}

/** What `uevent` says of a device. */
export function properties(
  kernel: Kernel,
  path: string,
): Readonly<Record<string, string>> {
  const text = ifPresent(() => kernel.readFile(`${path}/uevent`)) ?? "";
  return Object.fromEntries(
    text.split("\n").map((line) => line.split("=", 2)),
  );
}

function target(
  kernel: Kernel,
  list: string,
  name: string,
): string | undefined {
  try {
    return resolve(list, kernel.readlink(`${list}/${name}`));
  } catch (error) {
    // EINVAL: a file of a driver's, such as bonding_masters.
    if (hasErrno(error, "ENOENT", "EINVAL")) return undefined;
    throw sysfsError(error);
  }
}

function nodeAt(kernel: Kernel, path: string): DriverNode | undefined {
  const { DEVNAME, DEVTYPE, INTERFACE } = properties(kernel, path);
  if (INTERFACE !== undefined) {
    return { name: INTERFACE, kind: "network", path };
  }
  if (DEVNAME === undefined) {
    // One path of several to an NVMe namespace, which has no node of its own:
    // nvme0c1n2 is a path to nvme0n2.
    const name = basename(path);
    const head = name.replace(/^(nvme\d+)c\d+(n\d+)$/, "$1$2");
    if (DEVTYPE !== "disk" || head === name) return undefined;
    return { name: `/dev/${head}`, kind: "disk", path };
  }
  const kind = DEVTYPE === "disk" || DEVTYPE === "partition"
    ? DEVTYPE
    : "other";
  return { name: `/dev/${DEVNAME}`, kind, path };
}
