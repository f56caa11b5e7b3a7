/**
 * Observes this process and the devices, without the library under test.
 *
 * @module
 */
import { until } from "./until.ts";

/** The resources of an attached device that this process holds. */
export interface Holdings {
  /** The target of each file descriptor. */
  readonly descriptors: readonly string[];
  /** Its mappings of registers and of DMA memory. */
  readonly mappings: readonly string[];
  /** Its locked memory, in kB. */
  readonly locked: number;
}

/** Reads what this process holds now. */
export function holdings(): Holdings {
  return {
    descriptors: descriptors(),
    mappings: mappings(),
    locked: lockedKilobytes(),
  };
}

/** Lists the files that this process has open. */
export function descriptors(): string[] {
  const directory = "/proc/self/fd";
  return [...Deno.readDirSync(directory)].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`${directory}/${name}`)];
    } catch {
      return []; // the one through which the directory was read
    }
  }).sort();
}

/**
 * The files behind this process's mappings of registers and of DMA memory:
 * memory that is shared, and no file of a disk.
 */
export function mappings(): string[] {
  return Deno.readTextFileSync("/proc/self/maps").split("\n")
    .filter((line) => /^\S+ ...s /.test(line))
    .map((line) => line.split(/\s+/).slice(5).join(" "))
    .sort();
}

/** Memory that this process has locked: by the container, and by iommufd. */
export function lockedKilobytes(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  const [locked, pinned] = ["VmLck", "VmPin"].map((name) =>
    Number(status.match(`${name}:\\s*(\\d+) kB`)![1])
  );
  return locked! + pinned!;
}

/**
 * Asserts that the IOMMU stops an access of a device.
 *
 * The kernel counts the IOMMU's reports as interrupts. Its log leaves out most
 * of them when they come close together.
 *
 * @param line The line of `/proc/interrupts` that counts them.
 * @param forbidden Makes the device access memory.
 */
export async function assertFault(
  line: RegExp,
  forbidden: () => Promise<void>,
): Promise<void> {
  const before = counted(line);
  await forbidden();
  await until(() => counted(line) > before, "a fault that the IOMMU reports");
}

/** How many interrupts a line of `/proc/interrupts` counts. */
function counted(line: RegExp): number {
  const [text] = Deno.readTextFileSync("/proc/interrupts").match(line) ?? [""];
  return [...text.matchAll(/ (\d+)(?= )/g)]
    .reduce((sum, [, count]) => sum + Number(count), 0);
}
