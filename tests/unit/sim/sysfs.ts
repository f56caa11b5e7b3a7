/**
 * What the simulated sysfs answers. Each answer was compared with that of Linux
 * 6.1 and 7.3, on the same devices in virtual machines.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { Host } from "../../../lib/host/host.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import type { FunctionTopology, Topology } from "../../../lib/sim/topology.ts";
import { O_RDONLY, O_RDWR, O_WRONLY } from "../../../lib/uapi/fcntl.ts";
import {
  VFIO_GROUP_GET_STATUS,
  vfio_group_status,
} from "../../../lib/uapi/vfio.ts";

const A = "0000:00:03.0";
const B = "0000:00:03.1";
const PF = "0000:01:00.0";
const VF = "0000:01:00.1";
const PCI = "/sys/bus/pci";
const PATH = `/sys/devices/pci0000:00/${A}`;
const OVERRIDE = `${PATH}/driver_override`;
const NUMVFS = `${PCI}/devices/${PF}/sriov_numvfs`;
const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };
const NVME: FunctionTopology = { id: "1b36:0010", class: 0x010802 };
const PHYSICAL: FunctionTopology = {
  ...NIC,
  driver: "igb",
  sriov: { total: 4, id: "8086:10ca", driver: "igbvf", offset: 1, stride: 1 },
};

/** The errno of a call that fails, `"ok"` of one that does not. */
async function answer(call: () => unknown): Promise<string> {
  try {
    await call();
    return "ok";
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
}

class Sysfs {
  readonly host: Host;
  readonly kernel: Kernel;

  constructor(topology: Topology | FunctionTopology) {
    this.host = Host.simulated(
      "functions" in topology
        ? topology as Topology
        : { functions: { [A]: topology as FunctionTopology } },
    );
    this.kernel = this.host.kernel;
  }

  write(path: string, text: string): Promise<string> {
    return answer(() => this.kernel.writeFileAsync(path, text));
  }

  bind(driver: string, address: string): Promise<string> {
    return this.write(`${PCI}/drivers/${driver}/bind`, address);
  }

  unbind(driver: string, address: string): Promise<string> {
    return this.write(`${PCI}/drivers/${driver}/unbind`, address);
  }

  probe(address: string): Promise<string> {
    return this.write(`${PCI}/drivers_probe`, address);
  }

  override(address: string, driver: string): Promise<string> {
    const path = `${PCI}/devices/${address}/driver_override`;
    return this.write(path, driver);
  }

  /** Gives a function to vfio-pci. */
  async take(address: string): Promise<void> {
    assertEquals(await this.override(address, "vfio-pci"), "ok");
    assertEquals(await this.bind("vfio-pci", address), "ok");
  }

  read(path: string): string {
    return this.kernel.readFile(path);
  }

  names(path: string): string[] {
    return this.kernel.readdir(path);
  }

  driver(address: string): string | undefined {
    return this.host.function(address).driver;
  }
}

/** A call that blocks: what it has answered by now. */
async function blocked(
  call: Promise<string>,
): Promise<{ over: Promise<string>; now: string }> {
  let now = "blocked";
  const over = call.then((result) => now = result);
  await new Promise((resolve) => setTimeout(resolve));
  return {
    over,
    get now() {
      return now;
    },
  };
}

Deno.test("driver_override keeps what comes before a newline or a NUL", async () => {
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

Deno.test("driver_override is EINVAL when it would fill a page", async () => {
  const sysfs = new Sysfs(NIC);
  assertEquals(await sysfs.write(OVERRIDE, "x".repeat(4094)), "ok");
  assertEquals(sysfs.read(OVERRIDE).length, 4095);
  assertEquals(await sysfs.write(OVERRIDE, "y".repeat(4095)), "EINVAL");
  assertEquals(await sysfs.write(OVERRIDE, "\n".repeat(5000)), "EINVAL");
  assert(sysfs.read(OVERRIDE).startsWith("x"));
});

Deno.test("bind is ENODEV when the driver is not for the device, and then EBUSY", async () => {
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

Deno.test("unbind is ENODEV when another driver has the device", async () => {
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

Deno.test("drivers_probe finds the driver that has the device's id, or its class", async () => {
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

Deno.test("bind is EINVAL when a VFIO driver takes no such function", async () => {
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

Deno.test("bind is EBUSY, and drivers_probe EINVAL, when user space has the group", async () => {
  const sysfs = new Sysfs({
    functions: { [A]: { ...NIC, driver: "e1000e" }, [B]: { model: "edu" } },
  });
  await sysfs.unbind("e1000e", A);
  await sysfs.take(B);
  const space = new AddressSpace({ host: sysfs.host });
  const device = await VfioDevice.attach(B, space);
  assertEquals(await sysfs.bind("e1000e", A), "EBUSY");
  assertEquals(await sysfs.probe(A), "EINVAL");
  // Drivers that do no DMA for the kernel are in nobody's way.
  for (const driver of ["pci-stub", "vfio-pci"]) {
    await sysfs.override(A, driver);
    assertEquals(await sysfs.bind(driver, A), "ok");
    assertEquals(await sysfs.unbind(driver, A), "ok");
  }
  await sysfs.override(A, "\n");
  await device.detach();
  assertEquals(await sysfs.bind("e1000e", A), "ok");
});

Deno.test("bind to vfio-pci makes the nodes, and unbind takes them away", async () => {
  const sysfs = new Sysfs({ ...NIC, group: 7 });
  assertEquals(sysfs.names("/dev/vfio"), ["vfio"]);
  await sysfs.take(A);
  assertEquals(sysfs.names("/dev/vfio"), ["7", "devices", "vfio"]);
  assertEquals(sysfs.names("/dev/vfio/devices"), ["vfio0"]);
  assertEquals(sysfs.names(`${PATH}/vfio-dev`), ["vfio0"]);
  assertEquals(
    sysfs.kernel.readlink(`${PATH}/vfio-dev/vfio0/device`),
    `../../../${A}`,
  );
  assertEquals(
    sysfs.kernel.readlink("/sys/class/vfio-dev/vfio0"),
    `../../devices/pci0000:00/${A}/vfio-dev/vfio0`,
  );
  assertEquals(
    sysfs.kernel.readlink("/sys/class/vfio/7"),
    "../../devices/virtual/vfio/7",
  );
  assertEquals(
    sysfs.read("/sys/class/vfio/7/dev").trim(),
    sysfs.kernel.stat("/dev/vfio/7").device,
  );
  assertEquals(
    sysfs.read(`${PATH}/vfio-dev/vfio0/dev`).trim(),
    sysfs.kernel.stat("/dev/vfio/devices/vfio0").device,
  );
  assertEquals(sysfs.read(`${PATH}/power/control`), "auto\n");
  await sysfs.unbind("vfio-pci", A);
  assertEquals(sysfs.names("/dev/vfio"), ["vfio"]);
  assertEquals(sysfs.names("/sys/class/vfio"), []);
  assertEquals(await answer(() => sysfs.names(`${PATH}/vfio-dev`)), "ENOENT");
  assertEquals(sysfs.read(`${PATH}/power/control`), "on\n");
});

for (const release of ["6.1.0", "7.3.4"]) {
  Deno.test(`unbind waits while the device is open, on Linux ${release}`, async () => {
    const old = release === "6.1.0";
    const sysfs = new Sysfs({
      kernel: { release },
      functions: { [A]: { model: "edu", group: 7 } },
    });
    await sysfs.take(A);
    const space = new AddressSpace({ host: sysfs.host, backend: "legacy" });
    const device = await VfioDevice.attach(A, space);
    const unbind = await blocked(sysfs.unbind("vfio-pci", A));
    assertEquals(unbind.now, "blocked");
    // It looks unbound, but the group's node is there.
    assertEquals(sysfs.driver(A), undefined);
    assertEquals(sysfs.names("/sys/class/vfio-dev"), old ? ["vfio0"] : []);
    assertEquals(sysfs.names("/dev/vfio"), ["7", "vfio"]);
    // Who wants to change its driver waits as well.
    const again = await blocked(sysfs.unbind("vfio-pci", A));
    const bind = await blocked(sysfs.bind("vfio-pci", A));
    const override = await blocked(sysfs.override(A, "nothing"));
    const probe = await blocked(sysfs.probe(A));
    assertEquals(
      [again.now, bind.now, override.now, probe.now],
      ["blocked", "blocked", old ? "blocked" : "ok", "ok"],
    );
    if (old) assertThrows(() => sysfs.read(OVERRIDE), Error, "would hang");
    else assertEquals(sysfs.read(OVERRIDE), "nothing\n");
    await device.detach();
    assertEquals(await unbind.over, "ok");
    assertEquals(await again.over, "ok");
    // On the newer one it was overridden by then.
    assertEquals(await bind.over, old ? "ok" : "ENODEV");
    assertEquals(await override.over, "ok");
    assertEquals(sysfs.driver(A), old ? "vfio-pci" : undefined);
  });
}

Deno.test("unbind made synchronously throws when it would wait for the caller", async () => {
  const sysfs = new Sysfs({ model: "edu" });
  await sysfs.take(A);
  const device = await VfioDevice.attach(A, new AddressSpace(sysfs));
  assertThrows(
    () => sysfs.kernel.writeFile(`${PCI}/drivers/vfio-pci/unbind`, A),
    Error,
    "a real process would hang",
  );
  await device.detach();
});

Deno.test("a group's node goes with its last device, though the group is open", async () => {
  const sysfs = new Sysfs({ ...NIC, driver: "vfio-pci", group: 4 });
  const { kernel } = sysfs;
  const fd = kernel.open("/dev/vfio/4", O_RDWR);
  const status = () =>
    kernel.ioctl(fd, VFIO_GROUP_GET_STATUS, vfio_group_status.alloc());
  assertEquals(await answer(status), "ok");
  assertEquals(await sysfs.unbind("vfio-pci", A), "ok");
  assertEquals(await answer(status), "ENODEV");
  assertEquals(
    kernel.readlink(`/proc/self/fd/${fd}`),
    "/dev/vfio/4 (deleted)",
  );
  await sysfs.take(A);
  kernel.close(kernel.open("/dev/vfio/4", O_RDWR)); // another one by now
  assertEquals(await answer(status), "ENODEV");
  kernel.close(fd);
});

Deno.test("sriov_numvfs makes virtual functions that their driver takes", async () => {
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

Deno.test("sriov_numvfs refuses what the kernel refuses, in its order", async () => {
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

Deno.test("sriov_drivers_autoprobe keeps drivers from virtual functions, but for an override", async () => {
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

Deno.test("a physical function's driver takes its virtual functions with it, or leaves them", async () => {
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

Deno.test("vfio-pci makes virtual functions for itself when it is told that it may", async () => {
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

Deno.test("sriov_numvfs waits while a virtual function is in use", async () => {
  const sysfs = new Sysfs({ functions: { [PF]: PHYSICAL } });
  await sysfs.write(NUMVFS, "2");
  await sysfs.unbind("igbvf", VF);
  await sysfs.take(VF);
  const device = await VfioDevice.attach(VF, new AddressSpace(sysfs));
  const zero = await blocked(sysfs.write(NUMVFS, "0"));
  assertEquals(zero.now, "blocked");
  // The first one is on its way, the second one is there.
  const names = sysfs.names(`${PCI}/devices/${PF}`);
  assertEquals(names.filter((name) => name.startsWith("virtfn")), ["virtfn1"]);
  assertEquals(sysfs.host.function(VF).physicalFunction, undefined);
  assertThrows(() => sysfs.read(NUMVFS), Error, "would hang");
  await device.detach();
  assertEquals(await zero.over, "ok");
  assertEquals(sysfs.read(NUMVFS), "0\n");
});

Deno.test("remove takes a function off the machine when its driver has let go", async () => {
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

Deno.test("remove takes with a bridge what is behind it", async () => {
  const port = "0000:00:1c.0";
  const sysfs = new Sysfs({
    functions: { [A]: NIC, [PF]: { ...PHYSICAL, behind: port } },
  });
  await sysfs.write(NUMVFS, "2");
  assertEquals(sysfs.host.functions().length, 5);
  assertEquals(await sysfs.write(`${PCI}/devices/${port}/remove`, "1"), "ok");
  assertEquals(sysfs.host.functions().map(({ address }) => address), [A]);
});

Deno.test("reset_method takes what the function can do", async () => {
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

Deno.test("reset is ENOTTY when every way is switched off", async () => {
  const sysfs = new Sysfs({ ...NIC, reset: ["flr"] });
  const path = `${PATH}/reset`;
  assertEquals(await sysfs.write(path, "1"), "ok");
  assertEquals(await sysfs.write(path, "2"), "EINVAL");
  assertEquals(await sysfs.write(path, "x"), "EINVAL");
  await sysfs.write(`${PATH}/reset_method`, "\n");
  assertEquals(await sysfs.write(path, "1"), "ENOTTY");
});

Deno.test("power/control is EINVAL when it is neither on nor auto", async () => {
  const sysfs = new Sysfs(NIC);
  const path = `${PATH}/power/control`;
  assertEquals(await sysfs.write(path, "auto\n"), "ok");
  assertEquals(await sysfs.write(path, "off"), "EINVAL");
  assertEquals(await sysfs.write(path, "on\n\n"), "EINVAL");
  assertEquals(sysfs.read(path), "auto\n");
});

Deno.test("an attribute is EACCES, for root too, when it is opened for what it cannot do", async () => {
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

Deno.test("a user without privileges reads sysfs and writes nothing", async () => {
  const { machine } = Host.simulated({ functions: { [A]: NIC } });
  const kernel = machine.spawn({ uid: 1000 });
  assertEquals(kernel.readFile(`${PATH}/vendor`), "0x8086\n");
  const write = () => answer(() => kernel.writeFileAsync(OVERRIDE, "x"));
  assertEquals(await write(), "EACCES");
  machine.setOwnership(OVERRIDE, { uid: 1000 });
  assertEquals(await write(), "ok");
});

Deno.test("config has the header for users, and all of it for root", () => {
  const { machine, kernel } = Host.simulated({ functions: { [A]: NIC } });
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

Deno.test("enable_unsafe_noiommu_mode has groups made for functions that have none", async () => {
  const sysfs = new Sysfs({ iommu: "none", functions: { [A]: NIC } });
  const mode = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
  await sysfs.override(A, "vfio-pci");
  assertEquals(await sysfs.bind("vfio-pci", A), "EINVAL");
  assertEquals(await sysfs.write(mode, "x"), "EINVAL");
  assertEquals(await sysfs.write(mode, "Y"), "ok");
  assertEquals(await sysfs.bind("vfio-pci", A), "ok");
  const group = sysfs.host.function(A).iommuGroup;
  assertEquals(
    [group?.id, group?.name, group?.type],
    ["0", "vfio-noiommu", "unknown"],
  );
  assertEquals(sysfs.names("/sys/class/vfio"), ["noiommu-0"]);
  assertEquals(sysfs.names("/dev/vfio"), ["devices", "noiommu-0", "vfio"]);
  assertEquals(sysfs.names("/dev/vfio/devices"), ["noiommu-vfio0"]);
  await sysfs.unbind("vfio-pci", A);
  assertEquals(sysfs.host.groups(), []);
});

Deno.test("mediated devices are made and removed by their UUIDs", async () => {
  const parent = "/sys/devices/virtual/mtty/mtty";
  const sysfs = new Sysfs({
    functions: {},
    mediatedTypes: { [parent]: { "mtty-1": { instances: 2 } } },
  });
  const type = `${parent}/mdev_supported_types/mtty-1`;
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const other = uuid.replace("1001", "1002");
  for (
    const [text, expected] of [
      ["x", "EINVAL"],
      [uuid.slice(1), "EINVAL"],
      [`${uuid.toUpperCase()}\n`, "ok"],
      [uuid, "EEXIST"],
      [other, "ok"],
      [uuid.replace("1001", "1003"), "EUSERS"],
    ] as const
  ) {
    assertEquals(await sysfs.write(`${type}/create`, text), expected, text);
  }
  assertEquals(sysfs.read(`${type}/available_instances`), "0\n");
  const path = `/sys/bus/mdev/devices/${uuid}`;
  assertEquals(
    sysfs.kernel.readlink(`${path}/mdev_type`),
    "../mdev_supported_types/mtty-1",
  );
  assertEquals(sysfs.host.find(path).driver, "mtty");
  // Once it is unbound, no driver takes it again.
  const mtty = "/sys/bus/mdev/drivers/mtty";
  assertEquals(await sysfs.write(`${mtty}/unbind`, uuid), "ok");
  assertEquals(sysfs.host.find(path).iommuGroup, undefined);
  assertEquals(await sysfs.write(`${mtty}/bind`, uuid), "ENODEV");
  assertEquals(await sysfs.write("/sys/bus/mdev/drivers_probe", uuid), "ok");
  assertEquals(sysfs.host.find(path).driver, undefined);
  assertEquals(await sysfs.write(`${path}/remove`, "1"), "ok");
  assertEquals(sysfs.names("/sys/bus/mdev/devices"), [other]);
});

Deno.test("nr_hugepages is what mmap takes from, and munmap gives back to", async () => {
  const sysfs = new Sysfs({ functions: { [A]: { model: "edu" } } });
  const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB";
  assertEquals(await sysfs.write(`${pool}/nr_hugepages`, "x"), "EINVAL");
  assertEquals(await sysfs.write(`${pool}/nr_hugepages`, "4"), "ok");
  await sysfs.take(A);
  const space = new AddressSpace(sysfs);
  const device = await VfioDevice.attach(A, space);
  const memory = space.allocate(2 * 2 ** 21, { hugepages: "2M" });
  assertEquals(sysfs.read(`${pool}/free_hugepages`), "2\n");
  // No fewer than are in use.
  assertEquals(await sysfs.write(`${pool}/nr_hugepages`, "1"), "ok");
  assertEquals(sysfs.read(`${pool}/nr_hugepages`), "2\n");
  memory[Symbol.dispose]();
  assertEquals(sysfs.read(`${pool}/free_hugepages`), "2\n");
  await device.detach();
});
