/**
 * Kernel modules: which ones the guests use, and in which order they load.
 *
 * @module
 */
import { basename, dirname, join } from "@std/path";
import { exists } from "./cache.ts";
import { run } from "./command.ts";

/** Needed before the guest has its root file system. */
const BOOT_MODULES = [
  "virtio_pci",
  "virtio_console",
  "9pnet_virtio",
  "9p",
  "overlay",
];

/** Loaded at the guest's start, as udev would do in an ordinary system. */
const DRIVER_MODULES = [
  "nvme",
  "e1000e",
  "igb",
  "vfio_pci",
  "vfio_iommu_type1",
];

/** Can be loaded in the guest with `modprobe`. */
const FURTHER_MODULES = [
  "igbvf",
  "pci_stub",
  "uio_pci_generic",
  "kvm_amd",
  "bochs",
  "mtty",
  "mdpy",
  "mbochs",
  "ext4",
  "crc32c_generic",
  "dm_mod",
  "loop",
  "8021q",
  "pktgen",
];

/** All modules that the cache keeps of a kernel. */
export const MODULES: readonly string[] = [
  ...BOOT_MODULES,
  ...DRIVER_MODULES,
  ...FURTHER_MODULES,
];

/** `modules.dep` of one kernel. */
class Dependencies {
  /** Module name to its path, relative to the kernel's module directory. */
  #paths = new Map<string, string>();
  /** Path to the paths it needs. The last of them is loaded first. */
  #needs = new Map<string, string[]>();

  static async of(modules: string): Promise<Dependencies> {
    return new Dependencies(
      await Deno.readTextFile(join(modules, "modules.dep")),
    );
  }

  private constructor(text: string) {
    for (const line of text.split("\n")) {
      const [path, needs] = line.split(":");
      if (!path || needs === undefined) continue;
      this.#paths.set(moduleName(path), path);
      this.#needs.set(path, needs.split(" ").filter(Boolean));
    }
  }

  has(name: string): boolean {
    return this.#paths.has(name);
  }

  /**
   * The paths to load for these modules, in order. Absent ones are left out.
   */
  closure(names: readonly string[]): string[] {
    const ordered = new Set<string>();
    for (const name of names) {
      // Absent: built in, or this kernel does not have it.
      const path = this.#paths.get(name);
      if (path === undefined) continue;
      for (const need of this.#needs.get(path)!.toReversed()) ordered.add(need);
      ordered.add(path);
    }
    return [...ordered];
  }
}

/**
 * Copies the modules the guests use, and what those need, out of an unpacked
 * kernel package, and makes an index for `modprobe`.
 *
 * @param root Holds `lib/modules/<release>`.
 * @param release What `uname -r` says of this kernel.
 * @param target The directory that gets `lib/modules/<release>`.
 */
export async function gatherModules(
  root: string,
  release: string,
  target: string,
): Promise<void> {
  const from = join(root, "lib/modules", release);
  const to = join(target, "lib/modules", release);
  await run(["depmod", "-b", root, release]);
  const files = (await Dependencies.of(from)).closure(MODULES);
  for (
    const file of [
      ...files,
      "modules.builtin",
      "modules.builtin.modinfo",
      "modules.order",
    ]
  ) {
    if (!await exists(join(from, file))) continue;
    await Deno.mkdir(dirname(join(to, file)), { recursive: true });
    await Deno.copyFile(join(from, file), join(to, file));
    // Unpacking once here is quicker than at each boot of a guest.
    if (file.endsWith(".xz")) await run(["xz", "--decompress", join(to, file)]);
  }
  await run(["depmod", "-b", target, release]);
}

/**
 * The modules that must be in the initramfs, in the order in which they are
 * loaded.
 *
 * @param modules The kernel's module directory.
 * @returns Absolute paths.
 */
export async function bootModules(modules: string): Promise<string[]> {
  const index = await Dependencies.of(modules);
  return index.closure(BOOT_MODULES).map((path) => join(modules, path));
}

/**
 * The modules to load when the guest has started; none where they are built in.
 *
 * @param modules The kernel's module directory.
 * @returns Names for `modprobe`.
 */
export async function driverModules(modules: string): Promise<string[]> {
  const index = await Dependencies.of(modules);
  return DRIVER_MODULES.filter((name) => index.has(name));
}

function moduleName(path: string): string {
  return basename(path).replace(/\.ko(\..*)?$/, "").replaceAll("-", "_");
}
