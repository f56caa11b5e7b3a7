/**
 * Debian's own kernels, as most people run them.
 *
 * @module
 */
import { join } from "@std/path";
import { cached, exists } from "./cache.ts";
import { run } from "./command.ts";
import { DebianArchive, installPackages } from "./debian.ts";
import { decompressImage } from "./kernel_image.ts";
import { gatherModules } from "./modules.ts";
import { step } from "./progress.ts";

/**
 * The packages to unpack the image and list modules. The download does not need
 * them.
 */
const TOOLS = ["kmod", "xz-utils"];

/**
 * Extracts the image, and the modules that guests use, from Debian's package of
 * a kernel.
 *
 * @param series The kernel's series, for example `6.12`; its newest is taken.
 * @param prefix What the entry's name in the cache begins with.
 * @returns The entry's path.
 */
export async function fetchDebianKernel(
  series: string,
  prefix: string,
): Promise<string> {
  const archive = await DebianArchive.open();
  const wanted = await archive.newest(
    `linux-image-${series.replace(".", "[.]")}[.][0-9.+-]+(deb[0-9.]+)?-amd64`,
  );
  if (!wanted) throw archive.missing(`linux-image-${series}*-amd64`);
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
            join(dir, "image"),
          );
          const merged = join(unpacked, "usr");
          const root = await exists(join(merged, "lib/modules"))
            ? merged
            : unpacked;
          await installPackages(TOOLS);
          await decompressImage(join(dir, "image"));
          await gatherModules(root, release, dir);
          await Deno.remove(unpacked, { recursive: true });
        },
      ),
  );
}
