/**
 * What the system says of this process and of the devices, asked without the
 * library under test.
 *
 * @module
 */

/** What this process holds of what an attached device brings with it. */
export interface Holdings {
  /** What each of its file descriptors is. */
  readonly descriptors: readonly string[];
  /** Its mappings of registers and of DMA memory. */
  readonly mappings: readonly string[];
  /** Its locked memory, in kB. */
  readonly locked: number;
}

/** What this process holds now. */
export function holdings(): Holdings {
  return {
    descriptors: descriptors(),
    mappings: mappings(),
    locked: lockedKilobytes(),
  };
}

/** What this process has open. */
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
 * Does something that the IOMMU has to stop, and waits for the kernel's report
 * of that.
 *
 * @param address The PCI address of the device that does it.
 * @param iova Where it does it.
 * @param forbidden Has the device do it.
 */
export async function faultOf(
  address: string,
  iova: bigint,
  forbidden: () => Promise<void>,
): Promise<void> {
  // Without the domain before Linux 7.
  const where = `${address.slice("0000:".length)}] fault addr 0x` +
    `${iova.toString(16)} `;
  const reports = async () => (await kernelLog()).split(where).length - 1;
  const before = await reports();
  await forbidden();
  while (await reports() === before) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function kernelLog(): Promise<string> {
  const { stdout } = await new Deno.Command("dmesg").output();
  return new TextDecoder().decode(stdout);
}
