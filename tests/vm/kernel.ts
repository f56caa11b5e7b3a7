/**
 * The kernels the machines boot: Debian's own, and one built from Debian's
 * newest kernel source with everything this project needs switched on, which
 * no kernel that Debian ships has.
 *
 * @module
 */
import { fromFileUrl, join } from "@std/path";
import { cached, cacheDir, exists } from "./cache.ts";
import { run } from "./command.ts";
import { DebianArchive, installPackages } from "./debian.ts";
import { MachineError } from "./errors.ts";
import { gatherModules } from "./modules.ts";
import { step } from "./progress.ts";

/** The kernels there are. */
export type KernelName = "testbed" | "debian-6.1" | "debian-6.12";

/** A kernel ready to boot. */
export interface Kernel {
  /** The directory that holds it, named after its version. */
  dir: string;
  /** The compressed image to boot. */
  image: string;
  /** What `uname -r` will say. */
  release: string;
  /** The directory of its modules, with `modules.dep`. */
  modules: string;
}

/** What the build of the testbed kernel needs beyond what the guests need. */
const BUILD_PACKAGES = [
  "bc",
  "bison",
  "flex",
  "gcc",
  "libc6-dev",
  "libelf-dev",
  "make",
  "perl",
  "xz-utils",
];

/** How many lines a build prints, for the progress shown. */
const BUILD_LINES = 2100;

/** What is switched on in the testbed kernel. */
const CONFIG = fromFileUrl(new URL("testbed.config", import.meta.url));

/** Counts up when the way a kernel is built or stored changes. */
const RECIPE = 1;

/**
 * Gives a kernel, fetching or building it where the cache has none.
 *
 * @param name Which kernel.
 * @returns The kernel.
 */
export async function kernel(name: KernelName): Promise<Kernel> {
  const prefix = name === "testbed"
    ? `testbed-${await configHash()}-`
    : `${name}-${RECIPE}-`;
  return await describe(
    await newestCached(prefix) ??
      (name === "testbed"
        ? await build(prefix)
        : await fetchStock(name, prefix)),
  );
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
      image: join(dir, "vmlinuz"),
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

/** Takes the image and the modules that are of use from Debian's package. */
async function fetchStock(name: KernelName, prefix: string): Promise<string> {
  const version = name.replace("debian-", "").replace(".", "[.]");
  const archive = await DebianArchive.open();
  const wanted = await archive.newest(
    `linux-image-${version}[.][0-9.+-]+(deb[0-9.]+)?-amd64`,
  );
  if (!wanted) throw archive.missing(`linux-image-${name.slice(7)}*-amd64`);
  return await cached(
    `kernels/${prefix}${wanted.version}`,
    (dir) =>
      step(
        `Fetching Debian's kernel ${wanted.name} ${wanted.version}`,
        "half a minute, once",
        async (detail) => {
          await Deno.mkdir(dir);
          detail("downloading");
          const deb = await archive.download(wanted, dir);
          detail("unpacking");
          const unpacked = join(dir, "unpacked");
          await run(["dpkg-deb", "-x", deb, unpacked]);
          await Deno.remove(deb);
          const release = wanted.name.replace("linux-image-", "");
          await Deno.rename(
            join(unpacked, "boot", `vmlinuz-${release}`),
            join(dir, "vmlinuz"),
          );
          const merged = join(unpacked, "usr");
          const root = await exists(join(merged, "lib/modules"))
            ? merged
            : unpacked;
          await gatherModules(root, release, dir);
          await Deno.remove(unpacked, { recursive: true });
        },
      ),
  );
}

/** Builds the testbed kernel from the newest source package there is. */
async function build(prefix: string): Promise<string> {
  await installPackages(BUILD_PACKAGES);
  const archive = await DebianArchive.open();
  const source = await archive.newest("linux-source-[0-9.]+");
  if (!source) throw archive.missing("linux-source-*");
  return await cached(`kernels/${prefix}${source.version}`, async (dir) => {
    await Deno.mkdir(dir);
    const cores = navigator.hardwareConcurrency;
    await step(
      `Building the testbed kernel from ${source.name} ${source.version}`,
      `once, about ${Math.ceil(14 / cores) + 1} minutes on ${cores} cores`,
      (detail) => buildFrom(archive, source, dir, detail),
    );
  });
}

async function buildFrom(
  archive: DebianArchive,
  source: { name: string; version: string },
  dir: string,
  detail: (text: string) => void,
): Promise<void> {
  detail("downloading the source");
  const deb = await archive.download(source, dir);
  detail("unpacking the source");
  await run(["dpkg-deb", "-x", deb, dir]);
  await Deno.remove(deb);
  const tree = join(dir, "source");
  await Deno.mkdir(tree);
  await run([
    "tar",
    "-xJf",
    join(dir, "usr/src", `${source.name}.tar.xz`),
    "-C",
    tree,
    "--strip-components=1",
  ]);
  await Deno.remove(join(dir, "usr"), { recursive: true });

  detail("configuring");
  const make = (args: string[], onLine?: (line: string) => void) =>
    run(
      ["make", "-C", tree, `-j${navigator.hardwareConcurrency}`, ...args],
      onLine ? { onLine } : {},
    );
  await make(["allnoconfig", `KCONFIG_ALLCONFIG=${CONFIG}`]);
  await reportDropped(join(tree, ".config"));
  let printed = 0;
  await make(["bzImage", "modules"], (line) => {
    const percent = Math.min(99, Math.floor(++printed / BUILD_LINES * 100));
    detail(`${percent}% ${line}`);
  });

  detail("storing the kernel, its modules and its headers");
  await make(["modules_install", `INSTALL_MOD_PATH=${dir}`]);
  await make(["headers"]);
  await Deno.rename(join(tree, "usr/include"), join(dir, "include"));
  await Deno.rename(
    join(tree, "arch/x86/boot/bzImage"),
    join(dir, "vmlinuz"),
  );
  await Deno.rename(join(tree, ".config"), join(dir, "config"));
  // Links into the tree, and the notes of the build between the headers
  await run(["find", join(dir, "lib"), "-type", "l", "-delete"]);
  await run(["find", join(dir, "include"), "-name", ".*", "-delete"]);
  await Deno.remove(tree, { recursive: true });
}

/** An older source lacks some options: say which, tests will depend on them. */
async function reportDropped(config: string): Promise<void> {
  const got = new Set((await Deno.readTextFile(config)).split("\n"));
  const dropped = (await Deno.readTextFile(CONFIG)).split("\n")
    .filter((line) => line.startsWith("CONFIG_") && !got.has(line));
  if (dropped.length > 0) {
    console.error(`  this kernel source does not offer: ${dropped.join(" ")}`);
  }
}

async function configHash(): Promise<string> {
  const text = `${RECIPE}\n${await Deno.readTextFile(CONFIG)}`;
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(text),
  );
  return new Uint8Array(digest).toHex().slice(0, 12);
}
