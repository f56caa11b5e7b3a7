/**
 * Everything the machines need, installed and built.
 *
 * @module
 */
import { installPackages } from "./debian.ts";
import { MachineError } from "./errors.ts";
import { initramfs } from "./initramfs.ts";
import { kernel } from "./kernel.ts";
import { ALL_MACHINES, type Machine } from "./machines.ts";
import { newerQemu } from "./newer_qemu.ts";

export { kernelHeaders } from "./kernel.ts";

/** The packages to boot guests. */
export const BOOT_PACKAGES: readonly string[] = [
  "busybox-static",
  "cpio",
  "kmod",
  "qemu-system-x86",
  "xz-utils",
];

/** The packages of tests that compile C, run `ip` or start systemd. */
const TEST_PACKAGES = ["gcc", "iproute2", "libc6-dev", "systemd", "udev"];

/**
 * Installs and builds what is missing to boot machines, and prints what it
 * does. It is quick and prints nothing when nothing is missing.
 *
 * @param machines The machines that will be booted. Default: all.
 * @param packages The packages to install besides those that boot them.
 * Default: those of the tests.
 * @throws {MachineError} When something is not available. The message names the
 * package.
 */
export async function prepare(
  machines: readonly Machine[] = ALL_MACHINES,
  packages: readonly string[] = TEST_PACKAGES,
): Promise<void> {
  requireHost();
  await installPackages([...BOOT_PACKAGES, ...packages]);
  // Each guest can run it, too.
  await newerQemu();
  for (const name of new Set(machines.map((machine) => machine.kernel))) {
    await initramfs(await kernel(name));
  }
}

/**
 * Checks that a guest can use this machine's files.
 *
 * @throws {MachineError} When this is not Linux on x86-64.
 */
export function requireHost(): void {
  const { os, arch } = Deno.build;
  if (os === "linux" && arch === "x86_64") return;
  throw new MachineError(
    "The machines boot the root file system of an x86-64 Linux: this is " +
      `${arch} ${os}`,
  );
}
