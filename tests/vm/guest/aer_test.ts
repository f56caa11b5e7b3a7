/**
 * Errors of a PCI Express link, which a function reports to its port by Advanced
 * Error Reporting, and the port to the kernel (`drivers/pci/pcie/aer.c`).
 */
import { assert, assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { Monitor } from "./monitor.ts";
import { forEachBackend } from "./setup.ts";

/** The type of VLAN tags of an Intel 82574, as after a reset. */
const VLAN_TYPE = 0x38;
const VLAN = 0x8100;

// PCI Express Base Specification 7.8.4: bits of the error status registers.
const CORRECTABLE_BAD_TLP = 0x40;
const COMPLETION_TIMEOUT = 0x4000;
const MALFORMED_TLP = 0x4_0000;

/** Has QEMU's card report errors. */
async function reporting() {
  const monitor = await Monitor.open();
  return {
    async report(error: number, correctable = false) {
      const flag = correctable ? "-c " : "";
      const printed = await monitor.run(
        `pcie_aer_inject_error ${flag}card0 0x${error.toString(16)}`,
      );
      assert(printed.startsWith("OK "), printed);
    },
    [Symbol.dispose]: () => monitor[Symbol.dispose](),
  };
}

forEachBackend(
  "VfioDevice.errors has what the function reports, and it can be used again",
  async (setup) => {
    using card = await reporting();
    const device = await setup.attach("card0");
    const registers = device.region(0).map();
    assertEquals(registers.read32(VLAN_TYPE), VLAN);
    const [vector] = await device.irq("msix").enable(1);
    await device.errors.vector();

    // The kernel itself deals with what the hardware has corrected.
    await card.report(CORRECTABLE_BAD_TLP, true);
    await card.report(COMPLETION_TIMEOUT);
    assertEquals(await device.errors.next(), 1);
    registers.write32(VLAN_TYPE, 0);
    await device.reset();
    assertEquals(registers.read32(VLAN_TYPE), VLAN);
    device.irq("msix").trigger();
    assertEquals(await vector!.next(), 1);

    // The kernel resets the link of a fatal one, and restores nothing: reads do
    // not end the process, and an attach makes the function usable again.
    await card.report(MALFORMED_TLP);
    assertEquals(await device.errors.next(), 1);
    registers.read32(VLAN_TYPE);
    await device.detach();
    const again = await VfioDevice.attach(device.name, setup.space());
    assertEquals(again.region(0).map().read32(VLAN_TYPE), VLAN);
  },
);

forEachBackend(
  "VfioDevice.errors ends with the device's detach when an error is reported that nobody has read",
  async (setup) => {
    using card = await reporting();
    const device = await setup.attach("card0");
    await device.errors.vector();
    await card.report(COMPLETION_TIMEOUT);
    await device.detach();
    const again = await VfioDevice.attach(device.name, setup.space());
    const abort = new AbortController();
    const next = again.errors.next(abort).catch((reason) => reason);
    await again.errors.vector();
    abort.abort("nothing came");
    assertEquals(await next, "nothing came");
  },
);
