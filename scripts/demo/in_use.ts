/**
 * Whether somebody uses a function: what must not be taken.
 *
 * @module
 */
import { constants } from "node:fs";
import { type Kernel, KernelError, type PciFunction } from "../../mod.ts";
import { nodesOf } from "./nodes.ts";

const IFF_UP = 1;

/**
 * What a function is used for: a disk of it that is mounted, swapped to, or
 * part of a volume, a network interface that is up, the display.
 *
 * @param fn The function.
 * @returns A clause for each use; none where it is free.
 */
export async function usesOf(
  fn: Pick<PciFunction, "host" | "path">,
): Promise<string[]> {
  const uses: string[] = [];
  const boot = await Deno.readTextFile(`${fn.path}/boot_vga`).catch(() => "");
  if (boot.trim() === "1") uses.push("it is the display");
  for (const { name, kind } of await nodesOf(fn.path)) {
    const use = kind === "disk"
      ? await diskUse(fn.host.kernel, name)
      : kind === "network"
      ? await networkUse(name)
      : undefined;
    if (use !== undefined) uses.push(use);
  }
  return uses;
}

/**
 * What a disk is used for.
 *
 * Everything that lives on a disk or on a part of it claims it, in any mount
 * namespace: a file system, swap, LVM, MD, ZFS. Who opens it with O_EXCL is
 * told (`open(2)`).
 *
 * @param kernel The system.
 * @param disk The disk's node.
 * @param mounts The mounted file systems, as `/proc/mounts` has them.
 */
export async function diskUse(
  kernel: Kernel,
  disk: string,
  mounts = "/proc/mounts",
): Promise<string | undefined> {
  // nvme0n1 has nvme0n1p1, sda has sda1.
  const part = /\d$/.test(disk) ? "(p\\d+)?" : "\\d*";
  const itOrPart = new RegExp(`^${disk}${part}$`);
  for (const line of (await Deno.readTextFile(mounts)).split("\n")) {
    const [source, target] = line.split(" ");
    if (itOrPart.test(source!)) return `${source} is mounted at ${target}`;
  }
  try {
    kernel.close(kernel.open(disk, constants.O_RDONLY | constants.O_EXCL));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.code === "ENOMEDIUM") return undefined;
    return error.code === "EBUSY"
      ? `${disk} is in use: by a volume, by swap, or by a program`
      : `it is not to be told whether ${disk} is in use: ${error.message}`;
  }
}

async function networkUse(name: string): Promise<string | undefined> {
  const flags = await Deno.readTextFile(`/sys/class/net/${name}/flags`);
  return (Number(flags) & IFF_UP) !== 0
    ? `the network interface ${name} is up`
    : undefined;
}
