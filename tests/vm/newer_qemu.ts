/**
 * A QEMU with iommufd and `igb`: the machine's own where it is new enough, else
 * one from the backports of the machine's Debian, which stays in the cache and
 * leaves the installed one as it is.
 *
 * @module
 */
import { join } from "@std/path";
import { cached } from "./cache.ts";
import { run } from "./command.ts";
import { DebianArchive } from "./debian.ts";
import { step } from "./progress.ts";

/** A QEMU, and its first arguments. */
export interface Qemu {
  /** The program. */
  readonly program: string;
  /** Its first arguments: where its firmware is. */
  readonly args: readonly string[];
}

/** The machine's own QEMU, of any version. */
export const INSTALLED_QEMU: Qemu = { program: "qemu-system-x86_64", args: [] };

/** The version that Debian 13 has. */
const NEW_ENOUGH = 10;

/** Counts up when the way it is stored changes. */
const RECIPE = 1;

/**
 * Returns a QEMU of version 10 or later. Fetches it where neither the machine
 * nor the cache has one.
 *
 * @returns The QEMU.
 */
export async function newerQemu(): Promise<Qemu> {
  const { program, args } = INSTALLED_QEMU;
  const text = await run([program, ...args, "--version"]);
  if (Number(/version (\d+)/.exec(text)?.[1]) >= NEW_ENOUGH) {
    return INSTALLED_QEMU;
  }
  const release = await Deno.readTextFile("/etc/os-release");
  const suite = `${/^VERSION_CODENAME=(\w+)/m.exec(release)?.[1]}-backports`;
  const root = await cached(
    `qemu/${suite}-${RECIPE}`,
    (dir) => fetchFrom(suite, dir),
  );
  return {
    program: join(root, "usr/bin/qemu-system-x86_64"),
    // Debian's QEMU looks for firmware only where its packages install it.
    args: ["qemu", "seabios"]
      .flatMap((name) => ["-L", join(root, "usr/share", name)]),
  };
}

async function fetchFrom(suite: string, dir: string): Promise<void> {
  const archive = await DebianArchive.open();
  await step(
    `Fetching QEMU from ${suite}`,
    "13 MB, half a minute, once",
    async (detail) => {
      await Deno.mkdir(dir);
      detail("downloading");
      const packages = await archive.downloadMissing(
        "qemu-system-x86",
        suite,
        dir,
      );
      for (const deb of packages) {
        detail(`unpacking ${deb}`);
        await run(["dpkg-deb", "-x", deb, dir]);
        await Deno.remove(deb);
      }
      // 10 MB that are not needed
      await Deno.remove(join(dir, "usr/share/doc"), { recursive: true });
    },
  );
}
