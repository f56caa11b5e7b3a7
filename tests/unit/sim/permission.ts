import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import { O_RDONLY, O_RDWR, O_WRONLY } from "../../../lib/uapi/linux/fcntl.ts";
import { A, answer, NIC, OVERRIDE, PATH, PCI, Sysfs } from "./sysfs_bench.ts";

Deno.test("an attribute fails with EACCES, for root too, when it is opened for an access that it does not support", async () => {
  const { kernel } = new Sysfs(NIC);
  const open = (path: string, flags: number) =>
    answer(() => kernel.open(path, flags));
  assertEquals(await open(`${PATH}/vendor`, O_WRONLY), "EACCES");
  assertEquals(await open(`${PATH}/vendor`, O_RDWR), "EACCES");
  assertEquals(await open(`${PCI}/drivers_probe`, O_RDONLY), "EACCES");
  assertEquals(await open(PATH, O_RDWR), "EISDIR");
  assertEquals(await open(PATH, O_RDONLY), "ok");
  assertEquals(await answer(() => kernel.readFile(PATH)), "EISDIR");
  assertEquals(await open(`${PATH}/vendor/x`, O_RDONLY), "ENOTDIR");
  assertEquals(await open(`${PATH}/nothing`, O_RDONLY), "ENOENT");
  assertEquals(await answer(() => kernel.readdir(`${PATH}/vendor`)), "ENOTDIR");
  assertEquals(await answer(() => kernel.readlink(`${PATH}/vendor`)), "EINVAL");
});

Deno.test("sysfs lets a user without privileges read and not write", async () => {
  const { machine } = simulate({ functions: { [A]: NIC } });
  const kernel = machine.spawn({ uid: 1000 });
  assertEquals(kernel.readFile(`${PATH}/vendor`), "0x8086\n");
  const write = () => answer(() => kernel.writeFileAsync(OVERRIDE, "x"));
  assertEquals(await write(), "EACCES");
  machine.setOwnership(OVERRIDE, { uid: 1000 });
  assertEquals(await write(), "ok");
});
