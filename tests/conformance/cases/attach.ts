/**
 * Attaching and detaching functions: what is true meanwhile, and what is left
 * afterwards.
 */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { type AddressSpace, VfioDevice } from "../../../mod.ts";
import {
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_DEVICE_ID,
  PCI_VENDOR_ID,
} from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_GET_INFO,
  vfio_device_info,
} from "../../../lib/uapi/vfio/all.ts";
import { refused } from "../../failures.ts";
import { Edu, EDU_DMA_MASK, EDU_ID } from "../../vm/guest/edu.ts";
import { forEachBackend, SYSTEMS } from "../setup.ts";

/** Functions of five kinds, two of which had a driver. */
const KINDS = ["edu0", "nvme0", "e1000e0", "vga0", "bench0"];

/**
 * How often a function is attached. Fewer rounds show a leak of a simulation,
 * whose memory can be counted.
 */
const ROUNDS = SYSTEMS.some(({ isReal }) => isReal) ? 200 : 20;

/** Asserts that an edu reads and writes memory of its space. */
async function assertDma(
  device: VfioDevice,
  space: AddressSpace,
): Promise<void> {
  using memory = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
  const { iova, bytes } = memory;
  bytes.fill(0xa5, 0, 512);
  await new Edu(device).copy(iova, iova + 2048n, 512);
  assertEquals(bytes.subarray(2048, 2560), bytes.subarray(0, 512));
}

forEachBackend(
  "VfioDevice.attach() returns a device with its info, and with the ids of sysfs in config space",
  async (setup) => {
    for (const kind of KINDS) {
      const fn = await setup.take(kind);
      const device = await setup.attach(kind);
      const bytes = vfio_device_info.alloc();
      setup.kernel.ioctl(device.fd, VFIO_DEVICE_GET_INFO, bytes);
      const { flags, num_regions, num_irqs } = vfio_device_info.decode(bytes);
      assert(flags & VFIO_DEVICE_FLAGS_PCI, kind);
      assertEquals(device.info.pci, true);
      assertEquals(device.info.regions, num_regions);
      assertEquals(device.info.irqs, num_irqs);

      const { config } = device;
      assertEquals(config.read16(PCI_VENDOR_ID), fn.vendor, kind);
      assertEquals(config.read16(PCI_DEVICE_ID), fn.device, kind);
    }
  },
);

forEachBackend(
  "VfioDevice.attach() takes an address, a path in sysfs, and a host function",
  async (setup) => {
    const fn = await setup.take("edu0");
    const space = setup.space();
    const short = fn.address.slice("0000:".length);
    const link = `/sys/bus/pci/devices/${fn.address}`;
    for (const target of [fn.address, short, link, fn.path, fn]) {
      await using device = await VfioDevice.attach(target, space);
      assertEquals(device.name, fn.address);
    }
  },
);

forEachBackend(
  "VfioDevice.attach() throws when another driver has the function, or none, and works afterwards",
  async (setup) => {
    for (
      const [name, driver] of [
        ["edu0", "no driver"],
        ["nvme0", "nvme"],
      ] as const
    ) {
      // A function that is taken has its journal open.
      const before = setup.descriptors;
      const address = setup.address(name);
      const space = setup.space();
      const attach = () => VfioDevice.attach(address, space);
      const error = await refused("WRONG_DRIVER", attach);
      assertEquals(error.device, address);
      assertStringIncludes(error.message, `bound to ${driver}`);
      assertStringIncludes(error.hint!, `host.take("${address}")`);
      assertEquals(setup.descriptors, before);

      await setup.take(name);
      await using _device = await attach();
    }
  },
);

forEachBackend(
  "AddressSpace.allocate() keeps clear of the window for interrupts before a device is attached",
  async (setup) => {
    await setup.take("edu0");
    const space = setup.space();
    const iova = 0xfee0_0000n;
    await refused("IOVA_OUT_OF_RANGE", () => space.allocate(4096, { iova }));
    await assertDma(await setup.attach("edu0", space), space);
  },
);

forEachBackend(
  "VfioDevice.attach() throws NO_MEMORY when mapped memory no longer exists",
  async (setup) => {
    await setup.take("edu0");
    const before = setup.descriptors;
    const other = setup.space();
    const space = setup.space();
    // It has to stay, by its contract, and does not.
    const mapping = space.unsafeMap(other.allocate(4096));
    await other.close();
    const attach = () => setup.attach("edu0", space);
    const error = await refused("NO_MEMORY", attach);
    assertEquals(error.device, setup.address("edu0"));
    assertEquals(setup.descriptors, before);
    mapping.unmap();
    await assertDma(await attach(), space);
  },
);

forEachBackend(
  "VfioDevice.attach() throws when the function is attached, and the first device goes on",
  async (setup) => {
    const space = setup.space();
    const first = await setup.attach("edu0", space);
    for (const other of [space, setup.space()]) {
      const error = await refused(
        "ALREADY_ATTACHED",
        () => setup.attach("edu0", other),
      );
      assertEquals(error.device, first.name);
      await assertDma(first, space);
    }
    await first.detach();
    await setup.attach("edu0");
  },
);

forEachBackend(
  "VfioDevice.attach() lets the first call win when several begin at once",
  async (setup) => {
    await setup.take("edu0");
    const space = setup.space();
    const [first] = await Promise.all([
      setup.attach("edu0", space),
      refused("ALREADY_ATTACHED", () => setup.attach("edu0", space)),
      refused("ALREADY_ATTACHED", () => setup.attach("edu0")),
    ]);
    await assertDma(first, space);
  },
);

forEachBackend(
  "VfioDevice.attach() attaches many functions at once",
  async (setup) => {
    const names = ["edu0", "edu1", "pair0", "pair1", "nvme0", "vga0", "bench0"];
    await Promise.all(names.map((name) => setup.take(name)));
    const before = setup.descriptors;
    const space = setup.space();
    const devices = await Promise.all(
      names.map((name) => setup.attach(name, space)),
    );
    assertEquals(
      devices.map(({ name }) => name),
      names.map((name) => setup.address(name)),
    );
    await Promise.all(devices.slice(0, 4).map((edu) => assertDma(edu, space)));
    await Promise.all(devices.map((device) => device.detach()));
    assertEquals(setup.descriptors, before);
  },
);

forEachBackend(
  "VfioDevice.detach() leaves no descriptor, no mapping and no locked memory",
  async (setup) => {
    await setup.take("edu0");
    const before = setup.bench.holdings();
    const space = setup.space();
    const device = await setup.attach("edu0", space);
    const memory = space.allocate(1 << 20);
    assertEquals(device.region(0).map().read32(0), EDU_ID);
    const during = setup.bench.holdings();
    assertNotEquals(during.descriptors, before.descriptors);
    assertEquals(during.mappings.length, before.mappings.length + 2);
    assertEquals(during.locked, before.locked + memory.size / 1024);

    await device.detach();
    assertEquals(setup.descriptors, before.descriptors);
    assertEquals(setup.locked, before.locked);
    await space.close();
    assertEquals(setup.bench.holdings(), before);
  },
);

forEachBackend(
  "VfioDevice.detach() allows unbinding the driver at once",
  async (setup) => {
    for (const name of ["edu0", "nvme0"]) {
      const taken = await setup.host.take(setup.address(name));
      const space = setup.space();
      const device = await VfioDevice.attach(taken.device, space);
      device.region(0).map().read32(0);
      await device.detach();
      // This throws if this process still has the device open.
      await taken.giveBack();
      assertEquals(taken.device.driver, taken.previousDriver);
    }
  },
);

forEachBackend(
  "VfioDevice.detach() makes memory inaccessible to the function",
  async (setup) => {
    const space = setup.space();
    const memory = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
    const { iova } = memory;
    const device = await setup.attach("edu0", space);
    await new Edu(device).copyFromDevice(iova, 512);
    await device.detach();
    memory.bytes.fill(0xa5);

    // In another space there is nothing at that address.
    const again = new Edu(await setup.attach("edu0"));
    await setup.bench.assertFault(() => again.copyFromDevice(iova, 512));
    assertEquals(memory.bytes, new Uint8Array(4096).fill(0xa5));
  },
);

forEachBackend(
  "VfioDevice.detach() does nothing more when it is repeated, or called meanwhile",
  async (setup) => {
    const space = setup.space();
    await setup.take("edu0");
    const before = setup.descriptors;
    const device = await setup.attach("edu0", space);
    await Promise.all([device.detach(), device.detach(), space.close()]);
    await device.detach();
    await device[Symbol.asyncDispose]();
    assertEquals(device.attached, false);
    assertEquals(setup.descriptors, before);
  },
);

forEachBackend(
  "AddressSpace.close() detaches the devices of the space",
  async (setup) => {
    const space = setup.space();
    await Promise.all([setup.take("edu0"), setup.take("edu1")]);
    const before = setup.descriptors;
    const devices = [
      await setup.attach("edu0", space),
      await setup.attach("edu1", space),
    ];
    await space.close();
    assertEquals(devices.map(({ attached }) => attached), [false, false]);
    assertEquals(setup.descriptors, before);
    await refused("DETACHED", () => setup.attach("edu0", space));
    await refused("DETACHED", () => space.allocate(4096));
  },
);

forEachBackend(
  "AddressSpace.close() leaves nothing behind when an attach is under way",
  async (setup) => {
    const [edu0, edu1] = [await setup.take("edu0"), await setup.take("edu1")];
    const before = setup.descriptors;
    const space = setup.space();
    await VfioDevice.attach(edu0, space);
    await Promise.all([
      refused("DETACHED", () => VfioDevice.attach(edu1, space)),
      space.close().then(() => assertEquals(setup.descriptors, before)),
    ]);
    await setup.attach("edu1");
  },
);

forEachBackend(
  "VfioDevice.attach() and detach() leave nothing behind when they are repeated",
  async (setup) => {
    await setup.take("edu0");
    const round = async () => {
      await using space = setup.space();
      const device = await setup.attach("edu0", space);
      space.allocate(65536);
      device.region(0).map().read32(0);
      await device.detach();
    };
    await round();
    const before = setup.bench.holdings();
    for (let rounds = 0; rounds < ROUNDS; rounds++) await round();
    assertEquals(setup.bench.holdings(), before);
  },
);

forEachBackend(
  "VfioDevice.setBusMaster() allows and forbids DMA of the function",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("edu0", space);
    const bit = () => device.config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER;
    assertEquals(bit(), 0);
    const { iova, bytes } = space.allocate(4096, { dmaMask: EDU_DMA_MASK });
    bytes.fill(0xa5, 0, 512);
    const edu = new Edu(device);
    assertEquals(bit(), PCI_COMMAND_MASTER);
    await edu.copyToDevice(iova, 512);

    device.setBusMaster(false);
    assertEquals(bit(), 0);
    await edu.copyFromDevice(iova + 512n, 512);
    assertEquals(bytes.subarray(512, 1024), new Uint8Array(512));

    device.setBusMaster(true);
    await edu.copyFromDevice(iova + 512n, 512);
    assertEquals(bytes.subarray(512, 1024), bytes.subarray(0, 512));
  },
);

forEachBackend(
  "VfioDevice.reset() resets the registers",
  async (setup) => {
    const device = await setup.attach("nvme0");
    const registers = device.region(0).map();
    const CC = 0x14; // controller configuration
    registers.write32(CC, 0x46_0000);
    assertEquals(registers.read32(CC), 0x46_0000);
    await device.reset();
    assertEquals(registers.read32(CC), 0);
  },
);

forEachBackend(
  "VfioDevice.reset() leaves the function usable",
  async (setup) => {
    // Registers that change by nothing but a write: CAP, and VET. A card's
    // control register changes when its link has come up.
    for (const [name, register] of [["nvme0", 0], ["e1000e0", 0x38]] as const) {
      const fn = await setup.take(name);
      const device = await setup.attach(name);
      assertEquals(device.info.resettable, true);
      const registers = device.region(0).map();
      const first = registers.read32(register);
      device.setBusMaster(true);
      await device.reset();
      assertEquals(device.config.read16(PCI_DEVICE_ID), fn.device);
      assertEquals(registers.read32(register), first);
    }
  },
);

forEachBackend(
  "VfioDevice.reset() throws when the kernel has no method",
  async (setup) => {
    const device = await setup.attach("edu0");
    assertEquals(device.info.resettable, false);
    const error = await refused("NOT_SUPPORTED", () => device.reset());
    assertEquals(error.device, device.name);
    await device.detach();
    await refused("DETACHED", () => device.reset());
  },
);
