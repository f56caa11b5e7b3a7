import { assertEquals, assertNotMatch } from "@std/assert";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { acsOf } from "../../../lib/host/pci/topology/acs.ts";
import type { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import { explainNoGroup } from "../../../lib/host/iommu/no_iommu.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { factsOf } from "../../function_facts.ts";

const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

/** A topology with everything. */
const TOPOLOGY: Topology = {
  iommu: "amd",
  kernel: {
    release: "6.12.3",
    commandLine: "root=UUID=0123-4567 amd_iommu=on iommu=pt quiet",
    mappingLimit: 1000,
  },
  functions: {
    "0000:00:03.0": { model: "edu", driver: "vfio-pci" },
    "0000:00:04.0": {
      id: "8086:10d3",
      class: 0x020000,
      driver: "e1000e",
      override: "vfio-pci",
      power: "auto",
      numaNode: 1,
      bars: ["128K", "32 io", "8G 64bit prefetchable", null, "4K"],
      rom: "64K",
      reset: ["pm"],
      interrupts: { intx: true, msi: 4, msix: 5 },
      group: 40,
    },
    "0000:00:05.0": { id: "8086:1234", conventional: true, group: null },
    "0000:00:1c.0": { id: "8086:a110", class: 0x060400, driver: null },
    "0000:00:1d.0": { id: "8086:a118", class: 0x060400, acs: false },
    "0000:00:1d.1": { id: "8086:a119", class: 0x0c0330, acs: true },
    "0000:04:00.0": {
      id: "8086:10c9",
      class: 0x020000,
      subsystem: "15d9:1502",
      revision: 1,
      driver: "igb",
      network: "eth0",
      behind: "0000:00:1c.0",
      sriov: {
        total: 7,
        enabled: 2,
        id: "8086:10ca",
        driver: "igbvf",
        bars: ["16K 64bit prefetchable", null, null, "16K 64bit"],
      },
    },
    "0000:04:10.2": { driver: "vfio-pci", override: "vfio-pci" },
  },
  drivers: {
    "pci-stub": false,
    "xhci_hcd": {},
    "built-in": { bindable: false },
  },
  mediatedTypes: { "0000:00:05.0": { "i915-GVTg_V5_4": { instances: 2 } } },
  mediated: { [UUID]: { parent: "0000:00:05.0", type: "i915-GVTg_V5_4" } },
  hugePages: { "2M": 512, "1G": 2 },
};

/** A recording after writing and parsing it as JSON. */
function written(recording: Topology): Topology {
  return JSON.parse(JSON.stringify(recording));
}

/** Reads everything about a host's functions. */
function listing(host: Host): unknown[] {
  return host.functions().map((fn) => ({
    ...factsOf(fn),
    acs: acsOf(fn),
    power: host.kernel.readFile(`${fn.path}/power/control`),
  }));
}

Deno.test("Host.snapshot() returns a recording from which simulate() makes the same host", async () => {
  const host = simulate(TOPOLOGY);
  const loaded = simulate(written(await host.snapshot()));
  assertEquals(listing(loaded), listing(host));
  for (
    const path of [
      "/sys/bus/pci/drivers",
      "/sys/bus/mdev/drivers",
      "/sys/class/iommu",
      "/sys/devices/pci0000:00/0000:00:05.0/mdev_supported_types",
      "/dev/vfio",
    ]
  ) {
    assertEquals(loaded.kernel.readdir(path), host.kernel.readdir(path), path);
  }
  for (
    const path of [
      "/proc/sys/kernel/osrelease",
      "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
      "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
    ]
  ) {
    assertEquals(loaded.kernel.readFile(path), host.kernel.readFile(path));
  }
});

Deno.test("Host.snapshot() returns the recording when the host was made from it", async () => {
  for (
    const topology of [
      {},
      TOPOLOGY,
      { iommu: "none", kernel: { release: "6.1.0", unsafeNoIommu: true } },
    ] as Topology[]
  ) {
    const recording = written(await simulate(topology).snapshot());
    assertEquals(written(await simulate(recording).snapshot()), recording);
  }
});

Deno.test("Host.snapshot() writes only the keys that a function needs", async () => {
  const { version, functions, drivers } = await simulate({
    functions: {
      "0000:01:00.0": {
        id: "8086:10d3",
        class: 0x020000,
        driver: "e1000e",
        bars: ["128K at 0xfe000000"],
      },
    },
  }).snapshot();
  assertEquals(version, 1);
  assertEquals(drivers, {});
  assertEquals(functions, {
    "0000:01:00.0": {
      id: "8086:10d3",
      class: 0x020000,
      bars: ["128K at 0xfe000000"],
      reset: ["flr"],
      interrupts: { intx: true, msi: 1 },
      driver: "e1000e",
      group: 0,
    },
  });
});

Deno.test("Host.snapshot() leaves out what identifies a host", async () => {
  const text = JSON.stringify(await simulate(TOPOLOGY).snapshot());
  assertNotMatch(text, /root=|0123-4567/);
});

Deno.test("Host.snapshot() records why there is no IOMMU", async () => {
  const host = simulate({
    iommu: "none",
    functions: { "0000:01:00.0": { id: "8086:10d3" } },
    files: {
      "/sys/firmware/acpi/tables/IVRS": "",
      "/proc/cpuinfo": "vendor_id\t: AuthenticAMD\nserial\t: 4711\n",
    },
  });
  const recording = await host.snapshot();
  assertNotMatch(JSON.stringify(recording), /4711/);
  const why = (host: Host) => explainNoGroup(host.function("01:00.0"));
  assertEquals(why(simulate(recording)), why(host));
});

Deno.test("Host.snapshot() leaves out interrupts when only root may read them", async () => {
  const { machine } = simulate(TOPOLOGY);
  const user = new SimulatedHost(machine, { uid: 1000 });
  const { functions } = await user.snapshot();
  assertEquals(functions?.["0000:00:04.0"]?.interrupts, undefined);
  assertEquals(functions?.["0000:00:04.0"]?.id, "8086:10d3");
});

Deno.test("simulate() chooses a recorded function's model by its id", async () => {
  const recording = await simulate(TOPOLOGY).snapshot();
  const host = simulate(written(recording));
  await using device = await VfioDevice.attach(
    "0000:00:03.0",
    new AddressSpace({ host }),
  );
  assertEquals(device.region(0).read32(0), 0x0100_00ed);
});

Deno.test("Host.snapshot() records whose IOMMU it is", async () => {
  for (const iommu of ["intel", "amd", "virtio", "none"] as const) {
    const host = simulate({
      iommu,
      functions: { "0000:00:03.0": { model: "edu" } },
    });
    assertEquals((await host.snapshot()).iommu, iommu);
  }
});
