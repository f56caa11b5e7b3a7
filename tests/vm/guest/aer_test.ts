/**
 * Errors of a PCI Express link, which a function reports to its port by Advanced
 * Error Reporting, and the port to the kernel (`drivers/pci/pcie/aer.c`).
 */
import { assert, assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { Monitor } from "./monitor.ts";
import { forEachBackend } from "./setup.ts";

/** What QEMU calls the errors of which the kernel tells VFIO. */
const UNCORRECTABLE = { nonfatal: "COMP_TIMEOUT", fatal: "MALF_TLP" };

forEachBackend(
  "VfioDevice.errors has what the function reports, and mapped registers do not end the process",
  async (setup) => {
    using monitor = await Monitor.open();
    const inject = async (error: string, correctable = false) => {
      const flag = correctable ? "-c " : "";
      const printed = await monitor.run(
        `pcie_aer_inject_error ${flag}card0 ${error}`,
      );
      assert(printed.startsWith("OK "), printed);
    };
    const device = await setup.attach("card0");
    using registers = device.region(0).map();
    const status = registers.read32(STATUS);
    const [vector] = await device.irq("msix").enable(1);
    await device.errors.vector();

    // The kernel itself deals with what the hardware has corrected.
    await inject("BAD_TLP", true);
    for (const error of Object.values(UNCORRECTABLE)) {
      await inject(error);
      assertEquals(await device.errors.next(), 1, error);
      registers.read32(STATUS);
    }
    // It can be used again after a reset.
    await device.reset();
    assertEquals(registers.read32(STATUS), status);
    device.irq("msix").trigger();
    assertEquals(await vector!.next(), 1);
  },
);

/** The device status of an Intel 82574. */
const STATUS = 8;

forEachBackend(
  "VfioDevice.errors ends with the device's detach when an error is reported that nobody has read",
  async (setup) => {
    using monitor = await Monitor.open();
    const device = await setup.attach("card0");
    await device.errors.vector();
    const { nonfatal } = UNCORRECTABLE;
    await monitor.run(`pcie_aer_inject_error card0 ${nonfatal}`);
    await device.detach();
    const again = await VfioDevice.attach(device.name, setup.space());
    const abort = new AbortController();
    const next = again.errors.next(abort).catch((reason) => reason);
    await again.errors.vector();
    abort.abort("nothing came");
    assertEquals(await next, "nothing came");
  },
);
