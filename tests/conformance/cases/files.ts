/**
 * Files on a host's disk (`fs/namei.c`, `fs/locks.c`), and what sysfs refuses.
 */
import { assertEquals } from "@std/assert";
import { O_CREAT, O_WRONLY } from "../../../lib/uapi/linux/fcntl.ts";
import { answer } from "../answer.ts";
import { FILE_OPERATIONS, inDirectory } from "../file_operations.ts";
import { SYSTEMS } from "../setup.ts";

for (const system of SYSTEMS) {
  for (const [name, operation] of Object.entries(FILE_OPERATIONS)) {
    Deno.test(`${name} (${system.name})`, async () => {
      await using bench = system.bench();
      inDirectory(bench.host.kernel, operation);
    });
  }

  Deno.test(`sysfs refuses to change names (${system.name})`, async () => {
    await using bench = system.bench();
    const { kernel } = bench.host;
    const file = "/sys/bus/pci/drivers_probe";
    const dir = "/sys/bus/pci";
    const answers = Object.entries<() => unknown>({
      open: () => kernel.open(`${dir}/x`, O_WRONLY | O_CREAT),
      mkdir: () => kernel.mkdir(`${dir}/x`, 0o755),
      again: () => kernel.mkdir(`${dir}/devices`, 0o755),
      rmdir: () => kernel.rmdir(`${dir}/devices`),
      unlink: () => kernel.unlink(file),
      symlink: () => kernel.symlink("x", `${dir}/x`),
      rename: () => kernel.rename(file, `${dir}/x`),
      across: () => kernel.rename(file, "/tmp/x"),
      into: () => kernel.rename("/etc/passthru-none", `${dir}/x`),
    }).map(([call, ask]) => [call, answer(ask)]);
    assertEquals(Object.fromEntries(answers), {
      open: "EACCES",
      mkdir: "EPERM",
      again: "EEXIST",
      rmdir: "EPERM",
      unlink: "EPERM",
      symlink: "EPERM",
      rename: "EPERM",
      across: "EXDEV",
      into: "EXDEV",
    });
    assertEquals(kernel.readdir(dir).includes("x"), false);
  });
}
