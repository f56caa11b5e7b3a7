/**
 * `PASSTHRU_TRACE=1`, in a separate process.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { runScript } from "./child.ts";

const SCRIPT = `
  import { localKernel } from "/lib/kernel/local.ts";
  import { VFIO_CHECK_EXTENSION } from "/lib/uapi/vfio/all.ts";
  const kernel = localKernel();
  const fd = kernel.open("/dev/null", 2);
  try {
    kernel.ioctl(fd, VFIO_CHECK_EXTENSION, 3n);
  } catch {}
  await kernel.ioctlAsync(fd, VFIO_CHECK_EXTENSION, 1n).catch(() => {});
  console.log(kernel.pread(fd, new Uint8Array(4), 0n));
  const mapping = kernel.mmap(4096, 3, 0x21, -1, 0n);
  kernel.munmap(mapping);
  try {
    kernel.readFile("/nonexistent");
  } catch {}
  console.log(kernel.addressOf(new Uint8Array(1)) > 0n);
  kernel.close(fd);`;

function run(env: Record<string, string>) {
  return runScript(SCRIPT, ["--allow-ffi"], env);
}

Deno.test("PASSTHRU_TRACE=1 prints each call and its result to standard error", async () => {
  const { code, stdout, stderr } = await run({ PASSTHRU_TRACE: "1" });
  assertEquals({ code, stdout }, { code: 0, stdout: "0\ntrue\n" });
  const lines = stderr.trimEnd().split("\n");
  const fd = /= (\d+)$/.exec(lines[0]!)![1];
  const address = /address=(0x[0-9a-f]+)/.exec(stderr)![1];
  const mapping = `{address=${address}, length=4096, buffer=[4096 bytes]}`;
  assertEquals(lines, [
    `open("/dev/null", 2) = ${fd}`,
    `ioctl(${fd}, VFIO_CHECK_EXTENSION, 3) = -1 ENOTTY`,
    `ioctlAsync(${fd}, VFIO_CHECK_EXTENSION, 1) = -1 ENOTTY`,
    `pread(${fd}, [4 bytes], 0x0) = 0`,
    `mmap(4096, 3, 33, -1, 0x0) = ${mapping}`,
    `munmap(${mapping}) = 0`,
    'readFile("/nonexistent") = -1 ENOENT',
    `close(${fd}) = 0`,
  ]);
  assertMatch(fd!, /^\d+$/);
});

for (const value of [undefined, "", "0", "10"]) {
  Deno.test(`PASSTHRU_TRACE prints nothing when it is ${value}`, async () => {
    const env = value === undefined ? {} : { PASSTHRU_TRACE: value };
    const { code, stdout, stderr } = await run(env);
    assertEquals({ code, stdout, stderr }, {
      code: 0,
      stdout: "0\ntrue\n",
      stderr: "",
    });
  });
}
