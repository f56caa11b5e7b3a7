/**
 * How much memory QEMU locks for devices that are handed to it.
 *
 * @module
 */

import { shortJson } from "../printable.ts";

const KIB = 1024n;
const MIB = KIB * KIB;
const GIB = MIB * KIB;

/** The memory of a QEMU machine without `-m`. */
const DEFAULT_MEMORY = 128n * MIB;

/**
 * Memory besides the machine's own: firmware, ROMs, video memory. The devices'
 * own registers, which QEMU maps as well, lock nothing. libvirt leaves as much
 * (`qemuDomainGetMemLockLimitBytes()`).
 */
const BESIDES = GIB;

const UNITS: Readonly<Record<string, bigint>> = {
  "": MIB,
  b: 1n,
  k: KIB,
  m: MIB,
  g: GIB,
  t: GIB * KIB,
};

/** QEMU's virtual IOMMUs. */
const VIRTUAL_IOMMU = /^(intel-iommu|amd-iommu|virtio-iommu)/;

/**
 * How much memory QEMU must be allowed to lock (RLIMIT_MEMLOCK), to have all of
 * its machine's memory reachable for the devices: that of `-m`, where it can be
 * extended up to `maxmem`, and a GiB besides. Behind a virtual IOMMU each device
 * has an address space of its own, and memory counts once for each.
 *
 * @param args QEMU's arguments.
 * @param devices How many devices it is handed.
 * @returns Bytes; 0 when no device is handed.
 * @throws {TypeError} When `-m` is not understood.
 *
 * @example
 * ```ts
 * import { qemuLockedMemory } from "@passthru/vfio/handoff";
 *
 * const bytes = qemuLockedMemory(["-m", "4G"], 2);
 * console.log(`prlimit --memlock=${bytes}`); // 5368709120
 * ```
 */
export function qemuLockedMemory(
  args: readonly string[],
  devices: number,
): bigint {
  if (devices === 0) return 0n;
  const behindIommu = args.some((arg) => VIRTUAL_IOMMU.test(arg));
  const spaces = behindIommu ? BigInt(devices) : 1n;
  return memoryOf(args) * spaces + BESIDES;
}

function memoryOf(args: readonly string[]): bigint {
  const sizes: Record<string, bigint> = { size: DEFAULT_MEMORY };
  for (const [i, arg] of args.entries()) {
    if (!/^--?m$/.test(arg)) continue;
    for (const part of (args[i + 1] ?? "").split(",")) {
      const [, name = "size", value] = /^(?:(\w+)=)?(.*)$/.exec(part)!;
      if (name === "size" || name === "maxmem") sizes[name] = bytes(value!);
    }
  }
  const { size, maxmem } = sizes;
  return maxmem ?? size!;
}

function bytes(text: string): bigint {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([bkmgt]?)$/i.exec(text) ?? [];
  if (number === undefined) {
    throw new TypeError(
      `Cannot tell how much memory ${shortJson(text)} is: expected a ` +
        "number of MiB, or one with K, M, G or T",
    );
  }
  return BigInt(Math.ceil(Number(number) * Number(UNITS[unit!.toLowerCase()])));
}
