/**
 * Regions by name, writes that eventfds make, and waiting for registers
 * (`drivers/vfio/pci/vfio_pci_rdwr.c`).
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { VfioDevice, VfioError } from "../../../mod.ts";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
} from "../../../lib/uapi/vfio/all.ts";
import { answer } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { forEachBackend, type Setup } from "../setup.ts";

const BAR = VFIO_PCI_BAR0_REGION_INDEX;
const CONFIG = BigInt(VFIO_PCI_CONFIG_REGION_INDEX) << 40n;
const BAR_SIZE = 0x10_0000n;
/** The edu device's register that has the complement of what was written. */
const LIVENESS = 4;
/** A register of 64 bits. */
const DMA_SOURCE = 0x80;

/** Writes 0 there: no reset does. */
function clear(edu: DeviceFile): void {
  edu.write(BAR, LIVENESS, new Uint8Array(4));
}

function liveness(edu: DeviceFile): number {
  const bytes = edu.read(BAR, LIVENESS, 4);
  return ~new DataView(bytes.buffer).getUint32(0, true) >>> 0;
}

forEachBackend(
  "VFIO_DEVICE_IOEVENTFD has an eventfd write to a register",
  async (setup) => {
    const edu = await setup.device("edu0");
    const eventfd = setup.eventfd();
    const { fd } = eventfd;
    const offset = BigInt(LIVENESS);
    const set = (data: bigint, fd: number) =>
      answer(() => edu.ioeventfd({ flags: 4, offset, data, fd }));
    const signal = async (count: bigint) => {
      const bytes = new Uint8Array(new BigUint64Array([count]).buffer);
      setup.kernel.write(fd, bytes);
      await setup.bench.settle();
    };
    clear(edu);
    assertEquals(set(0x1234n, fd), undefined);
    assertEquals(liveness(edu), 0);
    await signal(5n);
    assertEquals([liveness(edu), eventfd.count()], [0x1234, 0]);

    // The same write can be made once, another one by the same eventfd too.
    assertEquals(set(0x1234n, fd), "EEXIST");
    assertEquals(set(0x1234n, setup.eventfd().fd), "EEXIST");
    assertEquals(set(0x5678n, -1), "ENODEV");
    assertEquals(set(0x1234n, -1), undefined);
    assertEquals(set(0x1234n, -1), "ENODEV");
    clear(edu);
    await signal(1n);
    assertEquals([liveness(edu), eventfd.count()], [0, 1]);

    // A signal from before counts, and stays to be read.
    await signal(2n);
    assertEquals(set(0xabcdn, fd), undefined);
    await setup.bench.settle();
    assertEquals([liveness(edu), eventfd.count()], [0xabcd, 2]);

    // Closing it ends the writes, and keeps their place.
    eventfd.close();
    await setup.bench.settle();
    assertEquals(set(0xabcdn, setup.eventfd().fd), "EEXIST");
    assertEquals(set(0xabcdn, -1), undefined);
  },
);

forEachBackend(
  "VFIO_DEVICE_IOEVENTFD refuses what is no register of a BAR, and no eventfd",
  async (setup) => {
    const edu = await setup.device("edu0");
    const { fd } = setup.eventfd();
    const set = (values: Parameters<DeviceFile["ioeventfd"]>[0]) =>
      answer(() => edu.ioeventfd({ flags: 4, offset: 4n, fd, ...values }));
    for (
      const [values, expected] of [
        [{ flags: 0 }, "EINVAL"],
        [{ flags: 3 }, "EINVAL"],
        [{ flags: 0x14 }, "EINVAL"],
        [{ argsz: 27 }, "EINVAL"],
        [{ fd: -2 }, "EINVAL"],
        [{ fd: 9999 }, "EBADF"],
        [{ fd: edu.fd }, "EINVAL"],
        [{ offset: CONFIG + 4n }, "EINVAL"],
        [{ offset: (1n << 40n) + 4n }, "EINVAL"],
        [{ offset: BAR_SIZE }, "EINVAL"],
        [{ offset: BAR_SIZE - 2n }, "EINVAL"],
        [{ offset: BAR_SIZE - 4n }, undefined],
        [{ offset: 6n }, undefined],
        [{ flags: 1 }, undefined],
        [{ flags: 2 }, undefined],
        [{ flags: 8, offset: BigInt(DMA_SOURCE) }, undefined],
      ] as const
    ) {
      const text = JSON.stringify(
        values,
        (_, value) => typeof value === "bigint" ? value.toString() : value,
      );
      assertEquals(set(values), expected, text);
    }
  },
);

forEachBackend(
  "VFIO_DEVICE_IOEVENTFD writes nothing while memory is not decoded",
  async (setup) => {
    const edu = await setup.device("edu0");
    const eventfd = setup.eventfd();
    const { fd } = eventfd;
    const offset = BigInt(LIVENESS);
    clear(edu);
    edu.ioeventfd({ flags: 4, offset, data: 7n, fd });
    const region = VFIO_PCI_CONFIG_REGION_INDEX;
    const command = edu.read(region, PCI_COMMAND, 2);
    edu.write(region, PCI_COMMAND, new Uint8Array(2));
    setup.kernel.write(fd, new Uint8Array(new BigUint64Array([1n]).buffer));
    await setup.bench.settle();
    assert(command[0]! & PCI_COMMAND_MEMORY);
    edu.write(region, PCI_COMMAND, command);
    assertEquals([liveness(edu), eventfd.count()], [0, 0]);
  },
);

forEachBackend(
  "Region.ioeventfd() has the kernel write, until it is disposed of or the device detached",
  async (setup) => {
    const { device, space } = await attached(setup, "edu0");
    const bar = device.bar(0);
    const read = () => ~bar.read32(LIVENESS) >>> 0;
    const before = setup.descriptors;
    {
      using first = bar.ioeventfd(LIVENESS, 0x11);
      assertEquals([first.offset, first.value, first.width], [4, 0x11n, 4]);
      first.signal();
      await setup.bench.settle();
      assertEquals(read(), 0x11);
      const error = assertThrows(
        () => bar.ioeventfd(LIVENESS, 0x11),
        VfioError,
      );
      assertEquals(error.code, "KERNEL");
      first[Symbol.dispose]();
      using again = bar.ioeventfd(LIVENESS, 0x11n);
      assert(again.fd >= 0);
    }
    assertEquals(setup.descriptors, before);

    const eventfd = setup.eventfd();
    const borrowed = bar.ioeventfd(LIVENESS, 0x22, { fd: eventfd.fd });
    borrowed.signal();
    await setup.bench.settle();
    assertEquals(read(), 0x22);
    const own = bar.ioeventfd(LIVENESS, 0x33);
    await device.detach();
    for (const ended of [borrowed, own]) {
      const error = assertThrows(() => ended.signal(), VfioError);
      assertEquals(error.code, "DETACHED");
      ended[Symbol.dispose]();
    }
    assertEquals(eventfd.count(), 0);
    await space.close();
  },
);

forEachBackend(
  "Region.ioeventfd() is refused for an MSI-X table and for config space",
  async (setup) => {
    const { device } = await attached(setup, "nvme0");
    const table = msixTable(device);
    assertEquals(device.bar(table.bar).msixMappable, true);
    for (
      const refused of [
        () => device.bar(table.bar).ioeventfd(table.offset, 0),
        () => device.config.ioeventfd(0x40, 0),
      ]
    ) {
      const error = assertThrows(refused, VfioError);
      assertEquals(error.code, "NOT_SUPPORTED");
    }
  },
);

/** The place of a function's MSI-X table, from its capability. */
function msixTable({ config }: VfioDevice): { bar: number; offset: number } {
  for (let at = config.read8(0x34); at !== 0; at = config.read8(at + 1)) {
    if (config.read8(at) !== 0x11) continue;
    const table = config.read32(at + 4);
    return { bar: table & 7, offset: table - (table & 7) };
  }
  throw new Error("no MSI-X");
}

forEachBackend(
  "VfioDevice.regions() has each region by its name",
  async (setup) => {
    const { device } = await attached(setup, "e1000e0");
    assertEquals(
      device.regions().map(({ name }) => name),
      ["BAR 0", "BAR 1", "BAR 2", "BAR 3", "ROM", "config"],
    );
    assertEquals(device.bar(2).mappable, []);
    assertEquals(device.rom.size > 0, true);
    assertEquals([device.info.api, device.info.atomics], ["pci", []]);
    assertEquals(device.findRegion("intel-opregion"), undefined);
    assertEquals(device.present, true);
    for (
      const absent of [
        () => device.bar(4),
        () => device.vga,
      ]
    ) {
      assertEquals(assertThrows(absent, VfioError).code, "NOT_SUPPORTED");
    }
    const error = await assertRejects(() => device.display(), VfioError);
    assertEquals(error.code, "NOT_SUPPORTED");
  },
);

forEachBackend(
  "until32() waits for a register, mapped or not, and not beyond its time",
  async (setup) => {
    const { device } = await attached(setup, "edu0");
    using mapped = device.bar(0).map();
    for (const registers of [mapped, device.bar(0)]) {
      registers.write32(8, 5);
      assertEquals(await registers.until32(0x20, 1, 0), 0);
      assertEquals(registers.read32(8), 120);
      const late = registers.until32(0x20, 1, 1, { timeout: 20 });
      assertEquals(
        (await assertRejects(() => late, VfioError)).code,
        "TIMED_OUT",
      );
    }
    const detached = assertRejects(() => mapped.until32(0x20, 1, 1), VfioError);
    await device.detach();
    const error = await detached;
    assertEquals(error.code, "DETACHED");
  },
);

async function attached(setup: Setup, name: string) {
  const space = setup.space();
  const fn = await setup.take(name);
  return { space, device: await VfioDevice.attach(fn, space) };
}
