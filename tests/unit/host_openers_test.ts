import { assertEquals } from "@std/assert";
import { openers, openersText } from "../../lib/host/openers.ts";
import { FakeHost } from "./fake_sysfs.ts";

Deno.test("openers() finds the processes that have a node open", () => {
  const fake = new FakeHost();
  fake.process(7, "init", ["/dev/null"]);
  fake.process(8, "qemu", ["/dev/null", "/dev/vfio/4", "/dev/vfio/4"]);
  fake.process(9, "dpdk", ["/dev/vfio/devices/vfio0"]);
  fake.kernel.file("/proc/cmdline", "");
  const found = openers(fake.kernel, [
    "/dev/vfio/4",
    "/dev/vfio/devices/vfio0",
  ]);
  assertEquals(found, [{ pid: 8, name: "qemu" }, { pid: 9, name: "dpdk" }]);
  assertEquals(openersText(found), "qemu (process 8), dpdk (process 9)");
});

Deno.test("openers() passes over what may not be read", () => {
  const fake = new FakeHost();
  // its descriptors cannot be listed, and then its name cannot be read
  fake.kernel.directory("/proc/7");
  fake.process(8, "qemu", ["/dev/vfio/4"]);
  fake.kernel.remove("/proc/8/comm");
  const found = openers(fake.kernel, ["/dev/vfio/4"]);
  assertEquals(found, [{ pid: 8, name: "" }]);
  assertEquals(openersText(found), "process 8");
});

Deno.test("openers() asks nothing when there is no node", () => {
  const fake = new FakeHost();
  fake.kernel.remove("/proc");
  assertEquals(openers(fake.kernel, []), []);
});
