/**
 * The testbed kernel: everything this project needs switched on, and little
 * else, so that it builds in minutes and boots in seconds.
 *
 * @module
 */
import { fromFileUrl, join } from "@std/path";
import { cached } from "./cache.ts";
import { IN_BACKGROUND, run } from "./command.ts";
import {
  DebianArchive,
  type DebianPackage,
  installPackages,
} from "./debian.ts";
import { note, step } from "./progress.ts";

/** What the build of the testbed kernel needs beyond what the guests need. */
const BUILD_PACKAGES = [
  "bc",
  "bison",
  "flex",
  "gcc",
  "kmod",
  "libc6-dev",
  "libelf-dev",
  "make",
  "xz-utils",
];

/** How many lines a build prints, for the progress shown. */
const BUILD_LINES = 2100;

/** The options that are switched on in the testbed kernel. */
export const TESTBED_CONFIG: string = fromFileUrl(
  new URL("testbed.config", import.meta.url),
);

/**
 * Builds the testbed kernel from the newest source package.
 *
 * @param prefix What the entry's name in the cache begins with.
 * @returns The entry's path.
 */
export async function buildTestbedKernel(prefix: string): Promise<string> {
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
  source: DebianPackage,
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
    ...IN_BACKGROUND,
    "tar",
    "-xJf",
    join(dir, "usr/src", `${source.name}.tar.xz`),
    "-C",
    tree,
    "--strip-components=1",
  ], { env: { XZ_OPT: "--threads=0" } });
  await Deno.remove(join(dir, "usr"), { recursive: true });

  detail("configuring");
  const make = (args: string[], onLine?: (line: string) => void) =>
    run(
      [
        ...IN_BACKGROUND,
        "make",
        "-C",
        tree,
        `-j${navigator.hardwareConcurrency}`,
        ...args,
      ],
      onLine ? { onLine } : {},
    );
  await make(["allnoconfig", `KCONFIG_ALLCONFIG=${TESTBED_CONFIG}`]);
  await reportDropped(join(tree, ".config"));
  let printed = 0;
  await make(["vmlinux", "modules", "headers"], (line) => {
    const percent = Math.min(99, Math.floor(++printed / BUILD_LINES * 100));
    detail(`${percent}% ${line}`);
  });

  detail("storing the kernel, its modules and its headers");
  await make(["modules_install", `INSTALL_MOD_PATH=${dir}`]);
  await Deno.rename(join(tree, "usr/include"), join(dir, "include"));
  await Deno.rename(join(tree, "vmlinux"), join(dir, "image"));
  await Deno.rename(join(tree, ".config"), join(dir, "config"));
  // Links into the tree, and the notes of the build between the headers
  await run(["find", join(dir, "lib"), "-type", "l", "-delete"]);
  await run(["find", join(dir, "include"), "-name", ".*", "-delete"]);
  await Deno.remove(tree, { recursive: true });
}

/** Prints the options that an older source lacks, as tests depend on them. */
async function reportDropped(config: string): Promise<void> {
  const got = new Set((await Deno.readTextFile(config)).split("\n"));
  const dropped = (await Deno.readTextFile(TESTBED_CONFIG)).split("\n")
    .filter((line) => line.startsWith("CONFIG_") && !got.has(line));
  if (dropped.length > 0) {
    note(`  this kernel source does not offer: ${dropped.join(" ")}`);
  }
}
