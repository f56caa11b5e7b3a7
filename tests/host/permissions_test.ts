/**
 * The permissions that the library needs, each in a process that has only
 * these.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { runScript } from "./child.ts";

Deno.test("mod.ts needs no permission to be imported", async () => {
  const { code, stdout, stderr } = await runScript(`
    import { AddressSpace, Host, VfioDevice, VfioError } from "/mod.ts";
    for (const { name } of [AddressSpace, Host, VfioDevice, VfioError]) {
      console.log(name);
    }`);
  assertEquals({ code, stdout, stderr }, {
    code: 0,
    stdout: "AddressSpace\nHost\nVfioDevice\nVfioError\n",
    stderr: "",
  });
});

Deno.test("Host() needs --allow-ffi, and says so", async () => {
  const { code, stderr } = await runScript(`
    import { Host } from "/mod.ts";
    new Host();`);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "NotCapable: Requires ffi access");
  assertStringIncludes(stderr, "--allow-ffi");
});

Deno.test("LibcKernel() needs no permission before its first call", async () => {
  const { code, stdout, stderr } = await runScript(`
    import { LibcKernel } from "/lib/kernel/libc.ts";
    const kernel = new LibcKernel();
    for (const step of [
      () => kernel.pageSize,
      () => kernel.open("/dev/null", 0),
      () => kernel.eventfd(0, 0),
      () => kernel.pollAsync([], 0),
    ]) {
      try {
        await step();
      } catch (error) {
        console.log(error.name);
      }
    }`);
  assertEquals({ code, stdout, stderr }, {
    code: 0,
    stdout: "NotCapable\n".repeat(4),
    stderr: "",
  });
});

Deno.test("localKernel() needs --allow-ffi and nothing else", async () => {
  const { code, stdout, stderr } = await runScript(
    `
    import { Host } from "/mod.ts";
    import { localKernel } from "/lib/kernel/local.ts";
    const kernel = localKernel();
    console.log(kernel === localKernel(), kernel === new Host().kernel);
    console.log(kernel.readFile("/proc/self/comm").trim());
    console.log(kernel.readdir("/sys/class").includes("tty"));
    console.log(kernel.stat("/dev/null").device);
    console.log(Array.isArray(new Host().functions()));
    const fd = kernel.open("/dev/zero", 2);
    const mapping = kernel.mmap(4096, 3, 2, fd, 0n);
    kernel.munmap(mapping);
    await kernel.closeAsync(fd);`,
    ["--allow-ffi"],
  );
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertMatch(stdout, /^true true\n.+\ntrue\n1:3\ntrue\n$/);
});

Deno.test({
  name: "localKernel() works when the process may not read its environment",
  ignore: Deno.uid() !== 0,
  async fn() {
    const { code, stdout, stderr } = await runScript(
      `
      import { localKernel } from "/lib/kernel/local.ts";
      // After this /proc/self belongs to root, as for a program with
      // capabilities.
      Deno.dlopen("libc.so.6", {
        setuid: { parameters: ["u32"], result: "i32" },
      }).symbols.setuid(65534);
      const kernel = localKernel();
      try {
        kernel.readFile("/proc/self/environ");
      } catch (error) {
        console.log(error.code);
      }
      console.log(kernel.stat("/dev/null").device);`,
      ["--allow-ffi"],
      { PASSTHRU_TRACE: "1" },
    );
    assertEquals({ code, stdout, stderr }, {
      code: 0,
      stdout: "EACCES\n1:3\n",
      stderr: "",
    });
  },
});
