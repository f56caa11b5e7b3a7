/**
 * What tells a PCI function from others of its make: where it is, by the way to
 * it and by its slot, and its serial number.
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import { PCI_EXT_CAP_ID_DSN } from "../../uapi/pci/express_regs.ts";
import { ConfigSpace } from "./config_space.ts";
import type { DeviceHost } from "../device.ts";
import { parsePciAddress } from "../../pci/address.ts";
import type { PciFunction } from "./function.ts";
import { ifPresent, namesIn, sysfsError } from "../sysfs.ts";

const SLOTS = "/sys/bus/pci/slots";

/**
 * The PCI Express Device Serial Number of a function, as lspci writes it:
 * `"a0-36-9f-ff-ff-12-34-56"`. Functions of one card often share it.
 *
 * @param fn The function.
 * @returns The number; `"none"` without one, and `"unreadable"` where only root
 * can read it.
 * @throws {VfioError} `PERMISSION_DENIED` when config space cannot be opened.
 */
export function serialNumber(fn: PciFunction): string {
  const { kernel } = fn.host;
  try {
    using config = new ConfigSpace(kernel, fn.path);
    const at = config.extended(PCI_EXT_CAP_ID_DSN);
    if (typeof at === "string") return at;
    // Behind the head, the lower half first.
    const words = [config.read32(at + 8) ?? 0, config.read32(at + 4) ?? 0];
    const digits = words.map((word) => hexDigits(word, 8));
    return digits.join("").match(/../g)!.join("-");
  } catch (error) {
    throw sysfsError(error, fn.address);
  }
}

/**
 * The way to a function through bridges, which renumbering of buses does not
 * change: `"0000:00:1c.0/00.0"`.
 *
 * @param fn The function.
 * @returns The way; `undefined` for a virtual function, which is beside its
 * physical function in sysfs, on whatever bus it has.
 */
export function bridgePath(fn: PciFunction): string | undefined {
  if (fn.physicalFunction !== undefined) return undefined;
  const parts = fn.path.split("/");
  const root = parts.findLastIndex((part) => /^pci[0-9a-f]{4,8}:/.test(part));
  const [first, ...hops] = parts.slice(root + 1);
  if (root < 0 || first === undefined) return undefined;
  return [first, ...hops.map((hop) => hop.split(":").at(-1))].join("/");
}

/**
 * The function at the end of a way through bridges, if there is one.
 *
 * @param start The function on a root bus that the way begins with.
 * @param hops Device and function behind each bridge: `"00.0"`.
 */
export function behind(
  start: PciFunction,
  hops: readonly string[],
): PciFunction | undefined {
  let found: PciFunction | undefined = start;
  for (const hop of hops) {
    found = functionsBehind(found).find(({ address }) =>
      address.endsWith(`:${hop}`)
    );
    if (found === undefined) return undefined;
  }
  return found;
}

/** The functions right behind a bridge, without virtual ones. */
export function functionsBehind(bridge: PciFunction): PciFunction[] {
  return childrenOf(bridge).filter(({ physicalFunction }) =>
    physicalFunction === undefined
  );
}

function childrenOf({ host, path }: PciFunction): PciFunction[] {
  return namesIn(host.kernel, path)
    .filter((name) => /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.\d$/.test(name))
    .flatMap((name) => {
      const device = host.deviceAt(`${path}/${name}`);
      return device?.bus === "pci" ? [device as PciFunction] : [];
    });
}

/** Where a slot is. */
export interface Slot {
  /** Its name. */
  readonly name: string;
  /** The bus: `"0000:01"`. */
  readonly bus: string;
  /** The device number; `undefined` where it is any. */
  readonly device: string | undefined;
}

/**
 * The slots that the firmware, or a hotplug driver, has names for
 * (`address_read_file()` in `drivers/pci/slot.c`).
 *
 * @param host The host.
 */
export function slots(host: DeviceHost): Slot[] {
  const { kernel } = host;
  return namesIn(kernel, SLOTS).flatMap((name) => {
    const text = ifPresent(() => kernel.readFile(`${SLOTS}/${name}/address`));
    const [, bus, device] =
      /^([0-9a-f]{4,8}:[0-9a-f]{2})(?::([0-9a-f]{2}))?\n?$/.exec(text ?? "") ??
        [];
    return bus === undefined ? [] : [{ name, bus, device }];
  });
}

/** Whether a function is in a slot: on the card itself, not behind it. */
export function isIn(slot: Slot, fn: PciFunction): boolean {
  const { slot: device } = parsePciAddress(fn.address);
  return fn.address.startsWith(`${slot.bus}:`) &&
    fn.physicalFunction === undefined &&
    (slot.device === undefined || parseInt(slot.device, 16) === device);
}
