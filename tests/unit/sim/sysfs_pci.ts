import { simulate } from "../../../lib/sim/mod.ts";
import { assert, assertEquals } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { O_RDONLY } from "../../../lib/uapi/linux/fcntl.ts";
import {
  A,
  answer,
  B,
  blocked,
  NIC,
  NUMVFS,
  PATH,
  PCI,
  PF,
  PHYSICAL,
  Sysfs,
} from "./sysfs_bench.ts";

Deno.test("remove removes a function after its driver has released it", async () => {
  const sysfs = new Sysfs({ functions: { [A]: { model: "edu" }, [B]: NIC } });
  await sysfs.take(A);
  const device = await VfioDevice.attach(A, new AddressSpace(sysfs));
  assertEquals(await sysfs.write(`${PATH}/remove`, "0"), "ok");
  const removal = await blocked(sysfs.write(`${PATH}/remove`, "1"));
  assertEquals(removal.now, "blocked");
  assert(!sysfs.names(PATH).includes("remove"));
  await device.detach();
  assertEquals(await removal.over, "ok");
  assertEquals(await answer(() => sysfs.names(PATH)), "ENOENT");
  assertEquals(sysfs.host.functions().map(({ address }) => address), [B]);
  assertEquals(sysfs.host.groups()[0]?.devices.map(({ name }) => name), [B]);
});

Deno.test("remove removes everything behind a bridge", async () => {
  const port = "0000:00:1c.0";
  const sysfs = new Sysfs({
    functions: { [A]: NIC, [PF]: { ...PHYSICAL, behind: port } },
  });
  await sysfs.write(NUMVFS, "2");
  assertEquals(sysfs.host.functions().length, 5);
  assertEquals(await sysfs.write(`${PCI}/devices/${port}/remove`, "1"), "ok");
  assertEquals(sysfs.host.functions().map(({ address }) => address), [A]);
});

Deno.test("reset_method accepts the methods that the function has", async () => {
  const sysfs = new Sysfs({ ...NIC, reset: ["flr", "pm"] });
  const path = `${PATH}/reset_method`;
  for (
    const [text, expected, now] of [
      ["pm", "ok", "pm\n"],
      ["bus", "EINVAL", "pm\n"],
      ["flr bus", "EINVAL", "pm\n"],
      [" pm  flr\n", "ok", "pm flr\n"],
      ["\n", "ok", ""],
      ["default", "ok", "flr pm\n"],
    ] as const
  ) {
    assertEquals(await sysfs.write(path, text), expected, text);
    assertEquals(sysfs.read(path), now);
  }
  const none = new Sysfs({ ...NIC, reset: [] });
  assertEquals(await answer(() => none.read(path)), "ENOENT");
});

Deno.test("reset fails with ENOTTY when every method is switched off", async () => {
  const sysfs = new Sysfs({ ...NIC, reset: ["flr"] });
  const path = `${PATH}/reset`;
  assertEquals(await sysfs.write(path, "1"), "ok");
  assertEquals(await sysfs.write(path, "2"), "EINVAL");
  assertEquals(await sysfs.write(path, "x"), "EINVAL");
  await sysfs.write(`${PATH}/reset_method`, "\n");
  assertEquals(await sysfs.write(path, "1"), "ENOTTY");
});

Deno.test("power/control fails with EINVAL when it is neither on nor auto", async () => {
  const sysfs = new Sysfs(NIC);
  const path = `${PATH}/power/control`;
  assertEquals(await sysfs.write(path, "auto\n"), "ok");
  assertEquals(await sysfs.write(path, "off"), "EINVAL");
  assertEquals(await sysfs.write(path, "on\n\n"), "EINVAL");
  assertEquals(sysfs.read(path), "auto\n");
});

Deno.test("config shows the header to users, and everything to root", () => {
  const { machine, kernel } = simulate({ functions: { [A]: NIC } });
  const read = (by: Kernel) => {
    const bytes = new Uint8Array(8192);
    const fd = by.open(`${PATH}/config`, O_RDONLY);
    const length = by.pread(fd, bytes, 0n);
    by.close(fd);
    return [length, new DataView(bytes.buffer).getUint32(0, true)];
  };
  assertEquals(read(kernel), [4096, 0x10d3_8086]);
  assertEquals(read(machine.spawn({ uid: 1000 })), [64, 0x10d3_8086]);
});
