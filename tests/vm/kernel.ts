/**
 * The kernels the machines boot: Debian's own, and one built from Debian's
 * newest kernel source with everything this project needs switched on, which
 * no kernel that Debian ships has.
 *
 * @module
 */
import { join } from "@std/path";
import { cacheDir, exists, fingerprint } from "./cache.ts";
import { MachineError } from "./errors.ts";
import { fetchDebianKernel } from "./kernel_debian.ts";
import { buildTestbedKernel, TESTBED_CONFIG } from "./kernel_testbed.ts";
import { MODULES } from "./modules.ts";

/** The names of the kernels. */
export type KernelName = "testbed" | "debian-6.1" | "debian-6.12";

/** A kernel ready to boot. */
export interface Kernel {
  /** The directory that holds it, named after its version. */
  dir: string;
  /** The image to boot. */
  image: string;
  /** What `uname -r` will say. */
  release: string;
  /** The directory of its modules, with `modules.dep`. */
  modules: string;
}

/** Counts up when the way a kernel is built or stored changes. */
const RECIPE = 1;

/** The same for Debian's kernels. */
const DEBIAN_RECIPE = 3;

/**
 * Returns a kernel, and fetches or builds it where the cache has none.
 *
 * @param name Which kernel.
 * @returns The kernel.
 */
export async function kernel(name: KernelName): Promise<Kernel> {
  const prefix = await prefixOf(name);
  const make = () =>
    name === "testbed"
      ? buildTestbedKernel(prefix)
      : fetchDebianKernel(name.slice("debian-".length), prefix);
  return await describe(await newestCached(prefix) ?? await make());
}

/**
 * Whether a kernel needs neither be fetched nor built.
 *
 * @param name Which kernel.
 * @returns `true` when the cache has it.
 */
export async function hasKernel(name: KernelName): Promise<boolean> {
  return await newestCached(await prefixOf(name)) !== undefined;
}

/** The prefix of the names of a kernel's entries in the cache. */
async function prefixOf(name: KernelName): Promise<string> {
  const made = name === "testbed"
    ? [RECIPE, await Deno.readTextFile(TESTBED_CONFIG)]
    : [DEBIAN_RECIPE, ...MODULES];
  return `${name}-${await fingerprint(made.join("\n"))}-`;
}

/**
 * The headers that the testbed kernel exports to userspace, to compile C
 * against: `gcc -I`.
 *
 * @returns The include directory.
 */
export async function kernelHeaders(): Promise<string> {
  return join((await kernel("testbed")).dir, "include");
}

async function describe(dir: string): Promise<Kernel> {
  const root = join(dir, "lib", "modules");
  for await (const { name: release } of Deno.readDir(root)) {
    return {
      dir,
      image: join(dir, "image"),
      release,
      modules: join(root, release),
    };
  }
  throw new MachineError(`${root} is empty: delete ${dir} and try again`);
}

async function newestCached(prefix: string): Promise<string | undefined> {
  const kernels = join(cacheDir(), "kernels");
  if (!await exists(kernels)) return undefined;
  const found = [];
  for await (const { name } of Deno.readDir(kernels)) {
    if (name.startsWith(prefix) && !name.endsWith(".partial")) found.push(name);
  }
  const order = new Intl.Collator("en", { numeric: true });
  const newest = found.sort(order.compare).at(-1);
  return newest && join(kernels, newest);
}
