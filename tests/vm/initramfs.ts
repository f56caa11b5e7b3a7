/**
 * The initramfs: busybox, the modules that reach the host's file system, and
 * the script that mounts it.
 *
 * @module
 */
import { basename, join } from "@std/path";
import { cached, fingerprint } from "./cache.ts";
import { quote, run } from "./command.ts";
import type { Kernel } from "./kernel.ts";
import { bootModules } from "./modules.ts";

const BUSYBOX = "/bin/busybox";

/** The initramfs's `/init`. */
const INIT = new URL("init/boot.sh", import.meta.url);

/**
 * Returns the initramfs for a kernel, and makes it where the cache has none.
 *
 * @param kernel The kernel it is for.
 * @returns The path of the archive.
 */
export async function initramfs(kernel: Kernel): Promise<string> {
  const init = await Deno.readTextFile(INIT);
  const name = `initramfs/${basename(kernel.dir)}-${await fingerprint(init)}`;
  return await cached(name, async (archive) => {
    const root = await Deno.makeTempDir();
    try {
      await fill(root, kernel, init);
      // Not compressed: decompressing would take the guest longer than reading.
      await run([
        "sh",
        "-c",
        `cd ${quote(root)} && find . | cpio -o -H newc -R 0:0 > ${
          quote(archive)
        }`,
      ]);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}

async function fill(root: string, kernel: Kernel, init: string): Promise<void> {
  for (const dir of ["bin", "dev", "lower", "modules", "over", "sysroot"]) {
    await Deno.mkdir(join(root, dir));
  }
  await Deno.copyFile(BUSYBOX, join(root, "bin/busybox"));
  await Deno.writeTextFile(join(root, "init"), init, { mode: 0o755 });
  const modules = await bootModules(kernel.modules);
  for (const path of modules) {
    await Deno.copyFile(path, join(root, "modules", basename(path)));
  }
  await Deno.writeTextFile(
    join(root, "modules/order"),
    modules.map((path) => `${basename(path)}\n`).join(""),
  );
}
