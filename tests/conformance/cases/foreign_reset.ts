/**
 * Resets of an attached function that somebody else makes, while this process
 * has its registers mapped and waits for its interrupts.
 */
import { assert, assertEquals } from "@std/assert";
import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../../../lib/uapi/pci/regs.ts";
import { VFIO_DEVICE_RESET } from "../../../lib/uapi/vfio/device.ts";
import { forEachBackend, type Setup } from "../setup.ts";

/** The nvme's controller configuration, which a reset sets to 0. */
const CC = 0x14;
const SOME_CC = 0x46_0000;

/** What a register reads as that does not answer; emulated ones read as 0. */
const NO_ANSWER = 0xffff_ffff;

/** The ways in which others reset a function. */
const OTHERS: Record<
  string,
  (setup: Setup, fn: { fd: number; path: string }) => Promise<unknown>
> = {
  // `pci_reset_function()` in `drivers/pci/pci.c`, which VFIO does not notice
  "through sysfs": (setup, { path }) =>
    setup.kernel.writeFileAsync(`${path}/reset`, "1"),
  // An access to mapped registers waits in the kernel meanwhile.
  "by a descriptor of the device": (setup, { fd }) =>
    setup.kernel.ioctlAsync(fd, VFIO_DEVICE_RESET),
};

for (const [how, reset] of Object.entries(OTHERS)) {
  forEachBackend(
    `a reset that somebody else makes ${how} leaves registers mapped, interrupts connected and bus mastering on`,
    async (setup) => {
      const nvme = await setup.attach("nvme0");
      const { path } = setup.host.function(nvme.name);
      const mapped = nvme.region(0).map();
      nvme.setBusMaster(true);
      const irq = nvme.irq("msix");
      const [vector] = await irq.enable(2);
      mapped.write32(CC, SOME_CC);

      let over = false;
      const resetting = reset(setup, { fd: nvme.fd, path })
        .finally(() => over = true);
      const seen = new Set<number>();
      while (!over) {
        for (let i = 0; i < 100; i++) seen.add(mapped.read32(CC));
        await new Promise((resolve) => setTimeout(resolve));
      }
      await resetting;
      for (const value of seen) {
        assert([SOME_CC, 0, NO_ANSWER].includes(value), value.toString(16));
      }

      assertEquals(mapped.read32(CC), 0);
      mapped.write32(CC, SOME_CC);
      assertEquals(mapped.read32(CC), SOME_CC);
      const command = nvme.config.read16(PCI_COMMAND);
      assertEquals(command & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER);
      irq.trigger();
      assertEquals(await vector!.next(), 1);
      await nvme.reset();
      assertEquals(mapped.read32(CC), 0);
    },
  );
}
