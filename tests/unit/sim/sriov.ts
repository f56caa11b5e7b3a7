import { assertEquals, assertThrows } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import {
  blocked,
  NUMVFS,
  NVME,
  PCI,
  PF,
  PHYSICAL,
  Sysfs,
} from "./sysfs_bench.ts";

const VF = "0000:01:00.1";

Deno.test("sriov_numvfs creates virtual functions, which their driver takes", async () => {
  const sysfs = new Sysfs({ functions: { [PF]: PHYSICAL } });
  assertEquals(await sysfs.write(NUMVFS, "0x2\n"), "ok");
  const functions = sysfs.host.function(PF).virtualFunctions;
  assertEquals(
    functions.map((fn) => [fn.address, fn.driver, fn.iommuGroup?.id]),
    [[VF, "igbvf", "1"], ["0000:01:00.2", "igbvf", "2"]],
  );
  assertEquals(functions[0]?.physicalFunction?.address, PF);
  assertEquals(sysfs.read(NUMVFS), "2\n");
  assertEquals(await sysfs.write(NUMVFS, "0"), "ok");
  assertEquals(sysfs.host.functions().map(({ address }) => address), [PF]);
  assertEquals(sysfs.host.groups().map(({ id }) => id), ["0"]);
});

Deno.test("sriov_numvfs refuses the same values as the kernel, in the same order", async () => {
  const sysfs = new Sysfs({ functions: { [PF]: PHYSICAL } });
  for (
    const [text, expected] of [
      ["5", "ERANGE"],
      ["-1", "EINVAL"],
      ["x", "EINVAL"],
      ["2 ", "EINVAL"],
      ["65536", "EINVAL"],
      ["0", "ok"],
      ["", "ok"],
      ["2", "ok"],
      ["2", "ok"],
      ["3", "EBUSY"],
      ["1", "EBUSY"],
    ] as const
  ) {
    assertEquals(await sysfs.write(NUMVFS, text), expected, text);
  }
  await sysfs.write(NUMVFS, "0");
  await sysfs.unbind("igb", PF);
  assertEquals(await sysfs.write(NUMVFS, "1"), "ENOENT");
  assertEquals(await sysfs.write(NUMVFS, "0"), "ok"); // as many as there are
  await sysfs.take(PF);
  assertEquals(await sysfs.write(NUMVFS, "1"), "ENOENT");
});

Deno.test("sriov_drivers_autoprobe keeps drivers from virtual functions when they have no override", async () => {
  const sysfs = new Sysfs({ functions: { [PF]: PHYSICAL } });
  const autoprobe = NUMVFS.replace("numvfs", "drivers_autoprobe");
  assertEquals(await sysfs.write(autoprobe, "x"), "EINVAL");
  assertEquals(await sysfs.write(autoprobe, "0"), "ok");
  await sysfs.write(NUMVFS, "1");
  assertEquals(sysfs.driver(VF), undefined);
  assertEquals(await sysfs.bind("igbvf", VF), "ENODEV");
  assertEquals(await sysfs.probe(VF), "ok");
  assertEquals(sysfs.driver(VF), undefined);
  await sysfs.take(VF);
  assertEquals(sysfs.driver(VF), "vfio-pci");
});

Deno.test("a physical function's driver removes its virtual functions with it, or leaves them", async () => {
  const sysfs = new Sysfs({
    functions: {
      [PF]: { ...PHYSICAL, sriov: { ...PHYSICAL.sriov!, enabled: 2 } },
    },
  });
  assertEquals(await sysfs.unbind("igb", PF), "ok");
  assertEquals(sysfs.read(NUMVFS), "0\n");

  const kept = new Sysfs({
    functions: {
      [PF]: {
        ...NVME,
        driver: "nvme",
        sriov: { total: 4, enabled: 2, id: "1b36:0010", offset: 1, stride: 1 },
      },
    },
  });
  assertEquals(await kept.unbind("nvme", PF), "ok");
  assertEquals(kept.read(NUMVFS), "2\n");
  assertEquals(await kept.write(NUMVFS, "0"), "ENOENT");
  await kept.override(PF, "vfio-pci");
  assertEquals(await kept.bind("vfio-pci", PF), "EBUSY");
  await kept.override(PF, "\n");
  assertEquals(await kept.bind("nvme", PF), "ok");
  assertEquals(await kept.write(NUMVFS, "0"), "ok");
});

Deno.test("vfio-pci creates virtual functions when its parameter allows that", async () => {
  const sysfs = new Sysfs({
    functions: { [PF]: { ...PHYSICAL, driver: null } },
  });
  await sysfs.take(PF);
  const enable = "/sys/module/vfio_pci/parameters/enable_sriov";
  assertEquals(sysfs.read(enable), "N\n");
  assertEquals(await sysfs.write(enable, "1"), "ok");
  assertEquals(await sysfs.write(NUMVFS, "1"), "ok");
  assertEquals(sysfs.driver(VF), "vfio-pci");
  assertEquals(sysfs.host.function(VF).driverOverride, "vfio-pci");
  assertEquals(await sysfs.unbind("vfio-pci", PF), "ok");
  assertEquals(sysfs.read(NUMVFS), "0\n");
});

Deno.test("sriov_numvfs waits when a virtual function is in use", async () => {
  const sysfs = new Sysfs({ functions: { [PF]: PHYSICAL } });
  await sysfs.write(NUMVFS, "2");
  await sysfs.unbind("igbvf", VF);
  await sysfs.take(VF);
  const device = await VfioDevice.attach(VF, new AddressSpace(sysfs));
  const zero = await blocked(sysfs.write(NUMVFS, "0"));
  assertEquals(zero.now, "blocked");
  // The first one is being removed, and the second one still exists.
  const names = sysfs.names(`${PCI}/devices/${PF}`);
  assertEquals(names.filter((name) => name.startsWith("virtfn")), ["virtfn1"]);
  assertEquals(sysfs.host.function(VF).physicalFunction, undefined);
  assertThrows(() => sysfs.read(NUMVFS), Error, "would hang");
  await device.detach();
  assertEquals(await zero.over, "ok");
  assertEquals(sysfs.read(NUMVFS), "0\n");
});

Deno.test("sriov_numvfs answers ENOMEM when a virtual function has no bus number", async () => {
  const offsets = { offset: 254, stride: 1 };
  const sysfs = new Sysfs({
    functions: {
      "0000:00:02.0": { id: "8086:a110", class: 0x060400, lastBus: 1 },
      [PF]: {
        ...PHYSICAL,
        behind: "0000:00:02.0",
        sriov: { ...PHYSICAL.sriov!, ...offsets },
      },
    },
  });
  const path = sysfs.host.function(PF).path;
  assertEquals(sysfs.read(`${path}/ari_enabled`), "1\n");
  assertEquals(
    sysfs.read("/sys/bus/pci/devices/0000:00:02.0/subordinate_bus_number"),
    "1\n",
  );
  assertEquals(await sysfs.write(`${path}/sriov_numvfs`, "3"), "ENOMEM");
  assertEquals(await sysfs.write(`${path}/sriov_numvfs`, "2"), "ok");
});

Deno.test("sriov_numvfs answers ENOENT when the driver makes none, and ERANGE beyond its limit", async () => {
  const { sriov } = PHYSICAL;
  const sysfs = new Sysfs({
    functions: { [PF]: { ...PHYSICAL, sriov: { ...sriov!, total: 16 } } },
    drivers: { "uio_pci_generic": { ids: [] } },
  });
  assertEquals(sysfs.read(NUMVFS.replace("numvfs", "totalvfs")), "7\n");
  assertEquals(await sysfs.write(NUMVFS, "8"), "ERANGE");
  await sysfs.unbind("igb", PF);
  assertEquals(sysfs.read(NUMVFS.replace("numvfs", "totalvfs")), "16\n");
  await sysfs.override(PF, "uio_pci_generic");
  assertEquals(await sysfs.bind("uio_pci_generic", PF), "ok");
  assertEquals(await sysfs.write(NUMVFS, "2"), "ENOENT");
});

Deno.test("sriov_numvfs answers EIO when a virtual function is at a device number that is not reached", async () => {
  const sysfs = new Sysfs({
    functions: {
      "0000:00:02.0": { id: "8086:a110", class: 0x060400, ari: false },
      [PF]: {
        ...PHYSICAL,
        behind: "0000:00:02.0",
        sriov: { ...PHYSICAL.sriov!, offset: 6, stride: 1 },
      },
    },
  });
  const path = sysfs.host.function(PF).path;
  assertEquals(sysfs.read(`${path}/ari_enabled`), "0\n");
  assertEquals(await sysfs.write(`${path}/sriov_numvfs`, "3"), "EIO");
  assertEquals(await sysfs.write(`${path}/sriov_numvfs`, "2"), "ok");
});
