/**
 * What a driver makes of a function: nodes in `/dev`, network interfaces.
 *
 * @module
 */

/** Something that programs reach a function by. */
export interface DeviceNode {
  /** A path in `/dev`, or the name of a network interface. */
  readonly name: string;
  /** What it is. */
  readonly kind: "disk" | "partition" | "network" | "other";
}

/**
 * The nodes of a device and of what its driver has put below it.
 *
 * @param path The device's path in sysfs.
 */
export async function nodesOf(path: string): Promise<DeviceNode[]> {
  const found: DeviceNode[] = [];
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (!isDirectory) continue;
    const below = `${path}/${name}`;
    const node = nodeAt(name, await properties(below));
    if (node !== undefined) found.push(node);
    found.push(...await nodesOf(below));
  }
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

function nodeAt(
  directory: string,
  { DEVNAME, DEVTYPE, INTERFACE }: Record<string, string>,
): DeviceNode | undefined {
  if (INTERFACE !== undefined) return { name: INTERFACE, kind: "network" };
  if (DEVTYPE === "disk" && DEVNAME === undefined) {
    // One path of several to an NVMe namespace, which has no node of its own:
    // nvme0c1n2 is a path to nvme0n2.
    const head = directory.replace(/^(nvme\d+)c\d+(n\d+)$/, "$1$2");
    return { name: `/dev/${head}`, kind: "disk" };
  }
  if (DEVNAME === undefined) return undefined;
  const kind = DEVTYPE === "disk" || DEVTYPE === "partition"
    ? DEVTYPE
    : "other";
  return { name: `/dev/${DEVNAME}`, kind };
}

/** What `uevent` says of a directory that is a device. */
async function properties(path: string): Promise<Record<string, string>> {
  try {
    const text = await Deno.readTextFile(`${path}/uevent`);
    return Object.fromEntries(
      text.split("\n").map((line) => line.split("=", 2)),
    );
  } catch {
    return {}; // it is no device, or it went meanwhile
  }
}
