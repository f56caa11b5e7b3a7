/**
 * Hot resets of several functions behind one port: an nvme and two edu, which
 * are in one IOMMU group (`drivers/vfio/pci/vfio_pci_core.c`).
 */
import { assert, assertEquals } from "@std/assert";
import {
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
} from "../../lib/uapi/pci/regs.ts";
import type { VfioDevice } from "../../mod.ts";
import { failure, refused } from "../failures.ts";
import { EDU_ID } from "../vm/guest/edu.ts";
import { currentMachine } from "../vm/machine_env.ts";
import { machineInfo, machineNamed } from "../vm/machines.ts";
import type { System } from "./bench.ts";
import { forEachBackend, type Setup, SYSTEMS } from "./setup.ts";
import { simulationOf } from "./simulated.ts";

/** The nvme's controller configuration, which a reset sets to 0. */
const CC = 0x14;
const SOME_CC = 0x46_0000;

const NAMES = ["testbed-ports", "debian-ports"];

/** The systems with these functions. */
function systems(): readonly System[] {
  const here = currentMachine();
  if (here !== undefined) return NAMES.includes(here.name) ? SYSTEMS : [];
  return NAMES.map((name) => {
    const machine = machineNamed(name);
    return simulationOf(machineInfo(machine), undefined, machine.devices);
  });
}

const SCOPE = { systems: systems() };

/** The functions that a hot reset takes: address, whether attached, obstacle. */
function affected(device: VfioDevice) {
  return device.hotReset.affected().map((
    { function: { address }, attached, obstacle },
  ) => [address.slice(-4), attached, obstacle?.problem]);
}

/** Asserts that nothing was done to a device. */
function assertUntouched(mapped: { read32(offset: number): number }) {
  assertEquals(mapped.read32(CC), SOME_CC);
}

async function attachAll(setup: Setup) {
  const space = setup.space();
  const nvme = await setup.attach("port0", space);
  const edus = [
    await setup.attach("port1", space),
    await setup.attach("port2", space),
  ] as const;
  return { space, nvme, edus };
}

forEachBackend(
  "VfioDevice.hotReset resets all functions behind a port",
  async (setup) => {
    const { nvme, edus: [edu] } = await attachAll(setup);
    const registers = nvme.region(0).map();
    const others = edu.region(0).map();
    registers.write32(CC, SOME_CC);
    nvme.setBusMaster(true);
    assertEquals(affected(edu), [
      ["00.0", true, undefined],
      ["00.1", true, undefined],
      ["00.2", true, undefined],
    ]);
    const resetting = edu.hotReset.reset();
    for (const mapped of [registers, others]) {
      failure("INACCESSIBLE", () => mapped.read32(0));
    }
    await resetting;
    assertEquals([registers.read32(CC), others.read32(0)], [0, EDU_ID]);
    const on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    assertEquals(nvme.config.read16(PCI_COMMAND) & on, on);
    assertEquals(edu.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
    // By each of them, and at once.
    registers.write32(CC, SOME_CC);
    await Promise.all([
      nvme.hotReset.reset(),
      edu.hotReset.reset(),
      nvme.reset(),
    ]);
    assertEquals([registers.read32(CC), others.read32(0)], [0, EDU_ID]);
  },
  SCOPE,
);

forEachBackend(
  "VfioDevice.hotReset takes functions of the group that are on a VFIO driver and not attached",
  async (setup) => {
    const nvme = await setup.attach("port0");
    await setup.take("port1");
    await setup.take("port2");
    const registers = nvme.region(0).map();
    registers.write32(CC, SOME_CC);
    assertEquals(affected(nvme), [
      ["00.0", true, undefined],
      ["00.1", false, undefined],
      ["00.2", false, undefined],
    ]);
    await nvme.hotReset.reset();
    assertEquals(registers.read32(CC), 0);
  },
  SCOPE,
);

forEachBackend(
  "VfioDevice.hotReset names a function without a driver, and does nothing",
  async (setup) => {
    const space = setup.space();
    const nvme = await setup.attach("port0", space);
    await setup.attach("port1", space);
    const registers = nvme.region(0).map();
    registers.write32(CC, SOME_CC);
    const address = setup.address("port2");
    assertEquals(affected(nvme), [
      ["00.0", true, undefined],
      ["00.1", true, undefined],
      ["00.2", false, `${address} is bound to no driver`],
    ]);
    const error = await refused("NOT_OWNED", () => nvme.hotReset.reset());
    assertEquals(error.device, setup.address("port0"));
    assert(error.message.includes(address), error.message);
    assertEquals(error.hint, `take ${address} too: host.take("${address}")`);
    assertUntouched(registers);
    // The advice works.
    await setup.take("port2");
    await nvme.hotReset.reset();
    assertEquals(registers.read32(CC), 0);
  },
  SCOPE,
);

forEachBackend(
  "VfioDevice.hotReset names a function on a driver that is not of VFIO",
  async (setup) => {
    const nvme = await setup.attach("port0");
    await setup.take("port1");
    const { kernel, host } = setup;
    const fn = host.function(setup.address("port2"));
    const drivers = "/sys/bus/pci";
    // It is a module of Debian's kernels.
    if (!kernel.readdir(`${drivers}/drivers`).includes("pci-stub")) {
      await kernel.runAsync("/usr/sbin/modprobe", ["pci-stub"]);
    }
    kernel.writeFile(`${fn.path}/driver_override`, "pci-stub");
    await kernel.writeFileAsync(`${drivers}/drivers_probe`, fn.address);
    try {
      assertEquals(fn.driver, "pci-stub");
      const error = await refused("NOT_OWNED", () => nvme.hotReset.reset());
      assert(error.message.includes("pci-stub"), error.message);
    } finally {
      await kernel.writeFileAsync(
        `${drivers}/drivers/pci-stub/unbind`,
        fn.address,
      );
      kernel.writeFile(`${fn.path}/driver_override`, "\n");
    }
  },
  SCOPE,
);

forEachBackend(
  "VfioDevice.hotReset lets a function be detached meanwhile",
  async (setup) => {
    const { nvme, edus: [edu, other] } = await attachAll(setup);
    edu.setBusMaster(true);
    const resetting = nvme.hotReset.reset();
    await Promise.all([edu.detach(), other.detach()]);
    await resetting;
    assertEquals(nvme.region(0).read32(CC), 0);
  },
  SCOPE,
);
