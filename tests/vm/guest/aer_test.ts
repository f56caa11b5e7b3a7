/**
 * Errors of a PCI Express link, which a function reports to its port by Advanced
 * Error Reporting, and the port to the kernel (`drivers/pci/pcie/aer.c`). QEMU
 * has a function report them; of its models here only virtio's send them on.
 */
import { assert, assertEquals } from "@std/assert";
import { PCI_COMMAND } from "../../../lib/uapi/pci/regs.ts";
import { VfioDevice } from "../../../mod.ts";
import { failure } from "../../failures.ts";
import { Monitor } from "./monitor.ts";
import { forEachBackend } from "./setup.ts";
import { until } from "./until.ts";

/** A virtio device's status, in its fourth BAR; 0 after a reset. */
const STATUS = 0x14;
const ACKNOWLEDGED = 1;

// PCI Express Base Specification 7.8.4: bits of the error status registers.
const CORRECTABLE_BAD_TLP = 0x40;
const COMPLETION_TIMEOUT = 0x4000;
const MALFORMED_TLP = 0x4_0000;

/** Has QEMU's function report errors. */
async function reporting() {
  const monitor = await Monitor.open();
  return {
    async report(error: number, correctable = false) {
      const flag = correctable ? "-c " : "";
      const printed = await monitor.run(
        `pcie_aer_inject_error ${flag}rng0 0x${error.toString(16)}`,
      );
      assert(printed.startsWith("OK "), printed);
    },
    [Symbol.dispose]: () => monitor[Symbol.dispose](),
  };
}

forEachBackend(
  "VfioDevice.errors has what a function reports, and a reset or an attach makes it usable",
  async (setup) => {
    using link = await reporting();
    const device = await setup.attach("rng0");
    const registers = device.bar(4).map();
    registers.write8(STATUS, ACKNOWLEDGED);
    const [vector] = await device.irq("msix").enable();
    await device.errors.vector();

    // The kernel itself deals with what the hardware has corrected.
    await link.report(CORRECTABLE_BAD_TLP, true);
    await link.report(COMPLETION_TIMEOUT);
    assertEquals(await device.errors.next(), 1);
    assertEquals(registers.read8(STATUS), ACKNOWLEDGED);
    await device.reset();
    assertEquals(registers.read8(STATUS), 0);
    device.irq("msix").trigger();
    assertEquals(await vector!.next(), 1);

    // The kernel resets the link of a fatal one, and restores nothing. Accesses
    // meanwhile, and after it, do not end the process.
    await link.report(MALFORMED_TLP);
    assertEquals(await device.errors.next(), 1);
    await until(() => {
      registers.read8(STATUS);
      registers.write8(STATUS, ACKNOWLEDGED);
      return device.config.read16(PCI_COMMAND) === 0;
    }, "the reset of the link");
    registers.read8(STATUS);
    await device.reset();
    failure("INACCESSIBLE", () => registers.read8(STATUS));
    await device.detach();
    const again = await VfioDevice.attach(device.name, setup.space());
    const anew = again.bar(4).map();
    assertEquals(anew.read8(STATUS), 0);
    anew.write8(STATUS, ACKNOWLEDGED);
    assertEquals(anew.read8(STATUS), ACKNOWLEDGED);
  },
  "rng0",
);

forEachBackend(
  "VfioDevice.detach() completes while an error is reported that nobody has read",
  async (setup) => {
    using link = await reporting();
    const device = await setup.attach("rng0");
    await device.errors.vector();
    await link.report(MALFORMED_TLP);
    await device.detach();
    const again = await VfioDevice.attach(device.name, setup.space());
    const next = again.errors.next().catch(({ code }) => code);
    await again.errors.vector();
    await again.detach();
    assertEquals(await next, "DETACHED");
  },
  "rng0",
);
