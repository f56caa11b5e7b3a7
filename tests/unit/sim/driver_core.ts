import { assert, assertEquals } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { A, B, NIC, NVME, OVERRIDE, PF, Sysfs } from "./sysfs_bench.ts";

Deno.test("driver_override keeps the text before a newline or a NUL", async () => {
  const sysfs = new Sysfs(NIC);
  for (
    const [text, expected] of [
      ["abc", "abc"],
      ["", "abc"], // nothing written is nothing heard
      ["de\nf", "de"],
      ["a b", "a b"],
      ["\n", "(null)"],
      ["x\0y", "x"],
      ["\0", "(null)"],
      ["x", "x"],
      ["\nxyz", "(null)"],
    ] as const
  ) {
    assertEquals(await sysfs.write(OVERRIDE, text), "ok");
    assertEquals(sysfs.read(OVERRIDE), `${expected}\n`, JSON.stringify(text));
  }
});

Deno.test("driver_override fails with EINVAL when it would fill a page", async () => {
  const sysfs = new Sysfs(NIC);
  assertEquals(await sysfs.write(OVERRIDE, "x".repeat(4094)), "ok");
  assertEquals(sysfs.read(OVERRIDE).length, 4095);
  assertEquals(await sysfs.write(OVERRIDE, "y".repeat(4095)), "EINVAL");
  assertEquals(await sysfs.write(OVERRIDE, "\n".repeat(5000)), "EINVAL");
  assert(sysfs.read(OVERRIDE).startsWith("x"));
});

Deno.test("bind fails with ENODEV when the driver is not for the device, and then EBUSY", async () => {
  const sysfs = new Sysfs({ ...NIC, driver: "e1000e" });
  assertEquals(await sysfs.bind("vfio-pci", A), "ENODEV");
  assertEquals(await sysfs.bind("vfio-pci", "nothing"), "ENODEV");
  assertEquals(await sysfs.bind("e1000e", A), "EBUSY");
  assertEquals(await sysfs.override(A, "vfio-pci"), "ok");
  assertEquals(await sysfs.bind("vfio-pci", A), "EBUSY");
  assertEquals(await sysfs.bind("e1000e", A), "ENODEV");
  assertEquals(await sysfs.bind("nothing", A), "ENOENT");
  assertEquals(await sysfs.unbind("e1000e", A), "ok");
  assertEquals(await sysfs.bind("e1000e", A), "ENODEV");
  assertEquals(await sysfs.bind("vfio-pci", `${A}\n`), "ok");
  assertEquals(sysfs.driver(A), "vfio-pci");
});

Deno.test("unbind fails with ENODEV when another driver has the device", async () => {
  const sysfs = new Sysfs({ ...NIC, driver: "e1000e" });
  assertEquals(await sysfs.unbind("vfio-pci", A), "ENODEV");
  assertEquals(await sysfs.unbind("e1000e", `${A}\n\n`), "ENODEV");
  assertEquals(sysfs.driver(A), "e1000e");
  assertEquals(await sysfs.unbind("e1000e", A), "ok");
  assertEquals(sysfs.driver(A), undefined);
  assertEquals(await sysfs.unbind("e1000e", A), "ENODEV");
});

Deno.test("drivers_probe succeeds when no driver takes the device", async () => {
  const sysfs = new Sysfs({ functions: { [A]: NIC, [B]: NIC } });
  assertEquals(await sysfs.probe(A), "ok");
  assertEquals(sysfs.driver(A), undefined);
  assertEquals(await sysfs.override(A, "no such driver"), "ok");
  assertEquals(await sysfs.probe(A), "ok");
  assertEquals(sysfs.driver(A), undefined);
  assertEquals(await sysfs.override(A, "vfio-pci"), "ok");
  assertEquals(await sysfs.probe(`${A}\n`), "ok");
  assertEquals(sysfs.driver(A), "vfio-pci");
  assertEquals(await sysfs.probe(A), "ok"); // bound already
  assertEquals(await sysfs.probe("0000:00:1d.5"), "ENODEV");
  assertEquals(await sysfs.probe(""), "ok");
});

Deno.test("drivers_probe finds the driver when it has the device's id, or its class", async () => {
  const sysfs = new Sysfs({
    functions: {
      [A]: { ...NIC, driver: "e1000e" },
      [B]: NIC,
      [PF]: { ...NVME, driver: "nvme" },
      "0000:02:00.0": { id: "144d:a808", class: 0x010802 },
    },
  });
  for (const address of [B, "0000:02:00.0"]) await sysfs.probe(address);
  assertEquals(sysfs.driver(B), "e1000e");
  assertEquals(sysfs.driver("0000:02:00.0"), "nvme");
});

Deno.test("bind fails with EINVAL when a VFIO driver does not support the function", async () => {
  const sysfs = new Sysfs({
    functions: {
      [A]: { id: "8086:a110", class: 0x060400, driver: null },
      [B]: { ...NIC, group: null },
    },
  });
  for (const address of [A, B]) {
    await sysfs.override(address, "vfio-pci");
    assertEquals(await sysfs.bind("vfio-pci", address), "EINVAL");
    assertEquals(sysfs.driver(address), undefined);
  }
});

Deno.test("bind fails with EBUSY, and drivers_probe with EINVAL, when user space has the group", async () => {
  const sysfs = new Sysfs({
    functions: { [A]: { ...NIC, driver: "e1000e" }, [B]: { model: "edu" } },
  });
  await sysfs.unbind("e1000e", A);
  await sysfs.take(B);
  const space = new AddressSpace({ host: sysfs.host });
  const device = await VfioDevice.attach(B, space);
  assertEquals(await sysfs.bind("e1000e", A), "EBUSY");
  assertEquals(await sysfs.probe(A), "EINVAL");
  // Drivers that do no DMA for the kernel do not make a group unviable.
  for (const driver of ["pci-stub", "vfio-pci"]) {
    await sysfs.override(A, driver);
    assertEquals(await sysfs.bind(driver, A), "ok");
    assertEquals(await sysfs.unbind(driver, A), "ok");
  }
  await sysfs.override(A, "\n");
  await device.detach();
  assertEquals(await sysfs.bind("e1000e", A), "ok");
});
