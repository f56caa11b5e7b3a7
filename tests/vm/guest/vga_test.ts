/**
 * The VGA region of a VGA controller, where the kernel has CONFIG_VFIO_PCI_VGA
 * (`vfio_pci_vga_rw()` in `drivers/vfio/pci/vfio_pci_rdwr.c`).
 */
import { assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { failure } from "../../failures.ts";
import { addressOf, forEachBackend, host } from "./setup.ts";

const MEMORY = 0xa0000;
const READ_INDEX = 0x3c7;
const WRITE_INDEX = 0x3c8;
const DATA = 0x3c9;
/** QEMU has the ports from 0x3c0 on also in BAR 2, from 0x400 on. */
const IN_BAR = 0x400 - 0x3c0;

forEachBackend(
  "VfioDevice.vga has the ports and the memory of a VGA controller, at their addresses",
  async (setup) => {
    const address = addressOf("vgacard0");
    // It is the display that the machine booted with.
    await using taken = await host.take(address, { insist: true });
    await using space = setup.space();
    const device = await VfioDevice.attach(taken.device, space);
    const { vga } = device;
    assertEquals(
      [vga.name, vga.size, vga.mappable.length],
      ["VGA", 0xc0000, 0],
    );
    assertEquals(device.regions().includes(vga), true);

    vga.write8(WRITE_INDEX, 7);
    for (const component of [1, 2, 3]) vga.write8(DATA, component);
    const bar = device.bar(2);
    bar.write8(READ_INDEX + IN_BAR, 7);
    assertEquals([1, 2, 3].map(() => bar.read8(DATA + IN_BAR)), [1, 2, 3]);
    vga.write8(READ_INDEX, 7);
    assertEquals([1, 2, 3].map(() => vga.read8(DATA)), [1, 2, 3]);

    // There is nothing between.
    for (const offset of [0, 0x3bc, 0x9ffff]) {
      failure("KERNEL", () => vga.read8(offset));
    }

    // Its memory, four planes in one: chained, as in mode 13h.
    vga.write8(0x3c4, 4);
    vga.write8(0x3c5, 0x0e);
    vga.write8(0x3c4, 2);
    vga.write8(0x3c5, 0x0f);
    vga.write8(0x3ce, 6);
    vga.write8(0x3cf, 5);
    vga.write8(0x3ce, 5);
    vga.write8(0x3cf, 0x40);
    for (const offset of [0, 1, 4095]) {
      vga.write8(MEMORY + offset, 0x5a ^ offset & 0xff);
    }
    assertEquals(
      [0, 1, 4095].map((offset) => vga.read8(MEMORY + offset)),
      [0x5a, 0x5b, 0xa5],
    );
  },
  "vgacard0",
);
