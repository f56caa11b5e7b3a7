/**
 * An open function: its info, its regions, its config space and its reset
 * (`drivers/vfio/pci/vfio_pci_core.c`, `vfio_pci_config.c`).
 */
import { assert, assertEquals } from "@std/assert";
import {
  PCI_BASE_ADDRESS_0,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_VENDOR_ID,
} from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_NUM_REGIONS,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "../../../lib/uapi/vfio/all.ts";
import { answer, answerOf } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { EDU_ID } from "../../vm/guest/edu.ts";
import { forEachBackend } from "../setup.ts";

const BAR = VFIO_PCI_BAR0_REGION_INDEX;
const CONFIG = VFIO_PCI_CONFIG_REGION_INDEX;
const EDU_BAR_SIZE = 0x10_0000;
const ALL = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
  VFIO_REGION_INFO_FLAG_MMAP;

/** Little-endian bytes. */
function bytes(value: number, width: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer, 0, width);
}

function number(bytes: Uint8Array): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

/** A function's config space. */
function configOf(device: DeviceFile) {
  return {
    read: (offset: number, width: number) =>
      number(device.read(CONFIG, offset, width)),
    write: (offset: number, width: number, value: number) =>
      device.write(CONFIG, offset, bytes(value, width)),
  };
}

forEachBackend(
  "VFIO_DEVICE_GET_INFO returns the kind of device",
  async (setup) => {
    const edu = await setup.device("edu0");
    const { flags, num_regions, num_irqs } = edu.info();
    assertEquals(flags, VFIO_DEVICE_FLAGS_PCI);
    assertEquals(num_regions, VFIO_PCI_NUM_REGIONS);
    assertEquals(num_irqs, VFIO_PCI_NUM_IRQS);
    assertEquals(edu.info({ argsz: 16 }).num_irqs, VFIO_PCI_NUM_IRQS);
    assertEquals(answer(() => edu.info({ argsz: 15 })), "EINVAL");
    const nvme = await setup.device("nvme0");
    assert(nvme.info().flags & VFIO_DEVICE_FLAGS_RESET);
  },
);

forEachBackend(
  "VFIO_DEVICE_GET_REGION_INFO returns each region's size, offset and flags",
  async (setup) => {
    const edu = await setup.device("edu0");
    const bar = edu.region({ index: BAR });
    assertEquals(bar.size, BigInt(EDU_BAR_SIZE));
    assertEquals([bar.flags, bar.offset, bar.cap_offset], [ALL, 0n, 0]);
    for (let i = BAR + 1; i <= VFIO_PCI_ROM_REGION_INDEX; i++) {
      const { size, flags, offset } = edu.region({ index: i });
      assertEquals([size, flags, offset], [0n, 0, BigInt(i) << 40n]);
    }
    const config = edu.region({ index: CONFIG });
    assertEquals([config.size, config.offset], [256n, BigInt(CONFIG) << 40n]);
    assertEquals(config.flags, ALL & ~VFIO_REGION_INFO_FLAG_MMAP);
    for (const index of [VFIO_PCI_VGA_REGION_INDEX, 9, 0xffff_ffff]) {
      assertEquals(answer(() => edu.region({ index })), "EINVAL");
    }
    const short = { index: BAR, argsz: 31 };
    assertEquals(answer(() => edu.region(short)), "EINVAL");
  },
);

forEachBackend(
  "VFIO_DEVICE_GET_REGION_INFO returns how much room its capabilities need",
  async (setup) => {
    // Its MSI-X table is in BAR 0.
    const nvme = await setup.device("nvme0");
    const { argsz, cap_offset, flags } = nvme.region({ index: 0, argsz: 32 });
    assertEquals([argsz, cap_offset, flags], [40, 0, ALL | 1 << 3]);
    const exact = nvme.region({ index: 0, argsz: 40 });
    assertEquals([exact.argsz, exact.cap_offset], [40, 32]);
    const { size } = nvme.region({ index: CONFIG });
    assertEquals(size, 4096n);
  },
);

forEachBackend(
  "VFIO_DEVICE_GET_IRQ_INFO returns the number of interrupts of each kind",
  async (setup) => {
    const edu = await setup.device("edu0");
    const irqs = (device: DeviceFile) =>
      [0, 1, 2, 3, 4].map((index) => {
        return answer(() => {
          const { count, flags } = device.irq({ index });
          return [count, flags];
        });
      });
    assertEquals(irqs(edu), [
      [1, 0b0111],
      [1, 0b1001],
      [0, setup.expected.noMsix],
      setup.expected.errorsOfConventional,
      [1, 0b1001],
    ]);
    const nvme = await setup.device("nvme0");
    const [intx, , msix, errors] = irqs(nvme);
    assertEquals(intx, [1, 0b0111]);
    assert((msix as number[])[0]! > 1);
    assertEquals((msix as number[])[1], setup.expected.msix);
    assertEquals(errors, [1, 0b1001]);
    for (const index of [5, 99]) {
      assertEquals(answer(() => edu.irq({ index })), "EINVAL");
    }
    assertEquals(answer(() => edu.irq({ index: 0, argsz: 15 })), "EINVAL");
  },
);

forEachBackend(
  "read() and write() of a BAR access registers, and are cut off at its end",
  async (setup) => {
    const edu = await setup.device("edu0");
    assertEquals(number(edu.read(BAR, 0, 4)), EDU_ID);
    assertEquals(edu.write(BAR, 4, bytes(0x1234_5678, 4)), 4);
    assertEquals(number(edu.read(BAR, 4, 4)), ~0x1234_5678 >>> 0);
    // The device answers an access of 8 bytes there with ones.
    const { widestAccess } = setup.expected;
    const low = number(edu.read(BAR, 0, 8).subarray(0, 4));
    assertEquals(low, widestAccess === 8 ? 0xffff_ffff : EDU_ID);
    assertEquals(edu.read(BAR, 0, 0).length, 0);
    assertEquals(edu.read(BAR, EDU_BAR_SIZE - 4, 8).length, 4);
    assertEquals(edu.write(BAR, EDU_BAR_SIZE - 4, new Uint8Array(64)), 4);
    for (const offset of [EDU_BAR_SIZE, EDU_BAR_SIZE + 4096]) {
      assertEquals(answer(() => edu.read(BAR, offset, 4)), "EINVAL");
      assertEquals(
        answer(() => edu.write(BAR, offset, new Uint8Array(4))),
        "EINVAL",
      );
    }
  },
);

forEachBackend(
  "read() and write() fail when the region does not exist",
  async (setup) => {
    const edu = await setup.device("edu0");
    for (
      const region of [
        BAR + 1,
        VFIO_PCI_BAR5_REGION_INDEX,
        VFIO_PCI_VGA_REGION_INDEX,
        VFIO_PCI_NUM_REGIONS,
        99,
      ]
    ) {
      assertEquals(answer(() => edu.read(region, 0, 4)), "EINVAL");
      assertEquals(
        answer(() => edu.write(region, 0, new Uint8Array(4))),
        "EINVAL",
      );
    }
    const rom = VFIO_PCI_ROM_REGION_INDEX;
    assertEquals(answer(() => edu.write(rom, 0, new Uint8Array(4))), "EINVAL");
    assertEquals(answer(() => edu.read(rom, 0, 4)), "EINVAL");
  },
);

forEachBackend(
  "read() and write() of a BAR fail with EIO when its memory is not decoded",
  async (setup) => {
    const edu = await setup.device("edu0");
    const config = configOf(edu);
    const command = config.read(PCI_COMMAND, 2);
    assert(command & PCI_COMMAND_MEMORY);
    config.write(PCI_COMMAND, 2, command & ~PCI_COMMAND_MEMORY);
    assertEquals(answer(() => edu.read(BAR, 0, 4)), "EIO");
    assertEquals(answer(() => edu.write(BAR, 4, new Uint8Array(4))), "EIO");
    config.write(PCI_COMMAND, 2, command);
    assertEquals(number(edu.read(BAR, 0, 4)), EDU_ID);
  },
);

forEachBackend(
  "mmap() takes whole pages of a BAR",
  async (setup) => {
    const edu = await setup.device("edu0");
    const map = (region: number, offset: number, length: number) =>
      answer(() => {
        const mapping = edu.mmap(region, offset, length);
        setup.kernel.munmap(mapping);
        return mapping.length;
      });
    assertEquals(map(BAR, 0, 4096), 4096);
    assertEquals(map(BAR, 4096, 8192), 8192);
    assertEquals(map(BAR, 0, EDU_BAR_SIZE), EDU_BAR_SIZE);
    assertEquals(map(BAR, 0, EDU_BAR_SIZE + 1), "EINVAL");
    assertEquals(map(BAR, EDU_BAR_SIZE, 4096), "EINVAL");
    assertEquals(map(BAR, EDU_BAR_SIZE - 4096, 8192), "EINVAL");
    assertEquals(map(BAR, 4, 4096), "EINVAL");
    assertEquals(map(BAR, 0, 0), "EINVAL");
    for (const region of [1, VFIO_PCI_ROM_REGION_INDEX, CONFIG, 9]) {
      assertEquals(map(region, 0, 4096), "EINVAL", String(region));
    }
  },
);

forEachBackend(
  "a device stays open when its registers are mapped",
  async (setup) => {
    const edu = await setup.device("edu0");
    const registers = edu.mmap(BAR, 0, 4096);
    edu.close();
    const before = setup.bench.holdings();
    const again = setup.backend === "legacy"
      ? () => setup.group("edu0")
      : async () => (await setup.cdev("edu0")).bind(setup.iommufd());
    const expected = setup.backend === "legacy" ? "EBUSY" : "EINVAL";
    assertEquals(await answerOf<unknown>(again), expected);
    setup.kernel.munmap(registers);
    assertEquals(
      before.mappings.length - setup.bench.holdings().mappings.length,
      1,
    );
    if (setup.backend === "iommufd") await again();
  },
);

forEachBackend(
  "config space has the ids of sysfs, and refuses accesses outside of it",
  async (setup) => {
    for (const [name, size] of [["edu0", 256], ["nvme0", 4096]] as const) {
      const fn = await setup.take(name);
      const device = await setup.device(name);
      const config = configOf(device);
      assertEquals(config.read(PCI_VENDOR_ID, 2), fn.vendor);
      assertEquals(config.read(PCI_DEVICE_ID, 2), fn.device);
      assertEquals(config.read(PCI_VENDOR_ID, 4), fn.device << 16 | fn.vendor);
      assertEquals(config.read(PCI_VENDOR_ID + 1, 1), fn.vendor >> 8);
      assertEquals(device.read(CONFIG, 0, size).length, size);
      assertEquals(device.read(CONFIG, size - 1, 1).length, 1);
      for (const [at, width] of [[size, 1], [size - 1, 2], [size - 4, 8]]) {
        const read = () => device.read(CONFIG, at!, width!);
        assertEquals(answer(read), "EFAULT");
        const write = () => device.write(CONFIG, at!, new Uint8Array(width!));
        assertEquals(answer(write), "EFAULT");
      }
    }
  },
);

forEachBackend(
  "config space ignores writes to read-only registers",
  async (setup) => {
    const config = configOf(await setup.device("edu0"));
    const before = config.read(PCI_VENDOR_ID, 4);
    assertEquals(config.write(PCI_VENDOR_ID, 4, 0xffff_ffff), 4);
    assertEquals(config.read(PCI_VENDOR_ID, 4), before);
    assertEquals(config.read(PCI_INTERRUPT_PIN, 1), 1);
    config.write(PCI_INTERRUPT_PIN, 1, 0);
    assertEquals(config.read(PCI_INTERRUPT_PIN, 1), 1);
    config.write(PCI_INTERRUPT_LINE, 1, 0xa5);
    assertEquals(config.read(PCI_INTERRUPT_LINE, 1), 0xa5);
  },
);

forEachBackend(
  "config space shows the size of a BAR when all ones were written to it",
  async (setup) => {
    const config = configOf(await setup.device("edu0"));
    const bar = (index: number) =>
      config.read(PCI_BASE_ADDRESS_0 + 4 * index, 4);
    const put = (index: number, value: number) =>
      config.write(PCI_BASE_ADDRESS_0 + 4 * index, 4, value);
    const address = bar(0);
    put(0, 0xffff_ffff);
    assertEquals(bar(0), ~(EDU_BAR_SIZE - 1) >>> 0);
    put(0, 0x1234_5678);
    assertEquals(bar(0), 0x1230_0000);
    put(0, address);
    assertEquals(bar(0), address);
    put(1, 0xffff_ffff);
    assertEquals(bar(1), 0);
    // A missing BAR has no address, and neither has the ROM.
    assertEquals(config.read(0x30, 4), 0);
  },
);

forEachBackend(
  "config space lets the command register be written, except for its fixed bits",
  async (setup) => {
    const config = configOf(await setup.device("edu0"));
    const before = config.read(PCI_COMMAND, 2);
    assertEquals(before & PCI_COMMAND_MASTER, 0);
    assertEquals(before & PCI_COMMAND_INTX_DISABLE, 0);
    const on = before | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
    config.write(PCI_COMMAND, 2, on);
    assertEquals(config.read(PCI_COMMAND, 2), on);
    config.write(PCI_COMMAND + 1, 1, 0);
    assertEquals(config.read(PCI_COMMAND, 2), on & 0xff);
    config.write(PCI_COMMAND, 2, before);
    assertEquals(config.read(PCI_COMMAND, 2), before);
  },
);

forEachBackend(
  "config space is restored when the device is opened again",
  async (setup) => {
    const first = await setup.device("edu0");
    const before = first.read(CONFIG, 0, 64);
    const config = configOf(first);
    config.write(PCI_COMMAND, 2, PCI_COMMAND_MASTER);
    config.write(PCI_BASE_ADDRESS_0, 4, 0x1230_0000);
    config.write(PCI_INTERRUPT_LINE, 1, 0xa5);
    await setup.closeAll();
    const second = await setup.device("edu0");
    assertEquals(second.read(CONFIG, 0, 64), before);
  },
);

forEachBackend(
  "VFIO_DEVICE_RESET resets a device when the kernel has a method",
  async (setup) => {
    const edu = await setup.device("edu0");
    assertEquals(await answerOf(() => edu.reset()), "EINVAL");
    const nvme = await setup.device("nvme0");
    const config = configOf(nvme);
    config.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    const CC = 0x14; // controller configuration
    nvme.write(BAR, CC, bytes(0x46_0000, 4));
    assertEquals(number(nvme.read(BAR, CC, 4)), 0x46_0000);
    await nvme.reset();
    assertEquals(number(nvme.read(BAR, CC, 4)), 0);
    // The kernel restores config space.
    assertEquals(
      config.read(PCI_COMMAND, 2),
      PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
    );
  },
);

forEachBackend(
  "a device answers ENOTTY when it does not know the ioctl",
  async (setup) => {
    const edu = await setup.device("edu0");
    const unknown = { name: "VFIO_UNKNOWN", request: 0x3bff } as never;
    assertEquals(answer(() => edu.ioctl(unknown, 0n)), "ENOTTY");
  },
);
