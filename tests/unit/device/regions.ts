import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AddressSpace, KernelError, VfioDevice } from "../../../mod.ts";
import { errnoNumber } from "../../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import { Host } from "../../../lib/host/host.ts";
import { buildMachine } from "../../../lib/sim/machine/build.ts";
import type { DeviceKind } from "../../../lib/sim/models/model.ts";
import { failure, refused } from "../../failures.ts";

const ADDRESS = "0000:00:02.0";

/** A part of a region that counts up from a number. */
const counting = (first: number) => ({
  read: (offset: number, width: number) => {
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      value = value << 8n | BigInt(first + offset + i & 0xff);
    }
    return value;
  },
  write() {},
});

/** A function with the regions of Intel's graphics. */
const graphics: DeviceKind = {
  name: "graphics",
  id: "8086:5912",
  class: 0x030000,
  resets: ["flr"],
  create: () => ({
    bars: [{ size: 4096, mappable: true, ...counting(0) }],
    msi: 1,
    msix: 0,
    intx: true,
    atomics: [32, 64],
    addedRegions: [
      { type: 0x8000_8086, subtype: 1, size: 8192, ...counting(1) },
      { type: 0x8000_8086, subtype: 2, size: 256, ...counting(2) },
      { type: 0x8000_8086, subtype: 3, size: 256, ...counting(3) },
      {
        type: 0x8000_10de,
        subtype: 9,
        size: 8,
        ...counting(4),
        writable: true,
      },
    ],
    reset() {},
  }),
};

async function setUp(
  answer: (call: KernelCall, proceed: () => unknown) => unknown = (
    _,
    proceed,
  ) => proceed(),
) {
  const machine = buildMachine({
    functions: {
      [ADDRESS]: { model: graphics, driver: "vfio-pci", rom: "64K" },
    },
  });
  const kernel = intercept(machine.spawn(), answer);
  const host = new Host({ kernel });
  const space = new AddressSpace({ host });
  return { space, device: await VfioDevice.attach(ADDRESS, space) };
}

Deno.test("VfioDevice.regions() has the regions that a driver adds, by name", async () => {
  const { device, space } = await setUp();
  assertEquals(
    device.regions().map(({ name, index, size }) => [name, index, size]),
    [
      ["BAR 0", 0, 4096],
      ["ROM", 6, 65536],
      ["config", 7, 4096],
      ["VGA", 8, 0xc0000],
      ["intel-opregion", 9, 8192],
      ["intel-host-config", 10, 256],
      ["intel-lpc-config", 11, 256],
      ["region 12", 12, 8],
    ],
  );
  assertEquals(device.info.regions, 13);
  assertEquals(device.info.atomics, [32, 64]);
  assertStrictEquals(device.bar(0), device.region(0));
  await space.close();
});

Deno.test("VfioDevice.findRegion() finds a region by name and by numbers", async () => {
  const { device, space } = await setUp();
  const region = device.findRegion("intel-opregion")!;
  assertStrictEquals(region, device.region(9));
  assertEquals(region.type, { type: 0x8000_8086, subtype: 1 });
  assertEquals([region.readable, region.writable, region.mappable], [
    true,
    false,
    [],
  ]);
  assertEquals(region.read32(4), 0x0807_0605);
  const error = failure("KERNEL", () => region.write8(0, 1));
  assertEquals((error.cause as KernelError).code, "EINVAL");
  const other = device.findRegion({ type: 0x8000_10de, subtype: 9 })!;
  other.write8(0, 1);
  assertEquals([other.index, other.type?.subtype], [12, 9]);
  assertEquals(device.findRegion("edid"), undefined);
  await space.close();
});

Deno.test("VfioDevice.rom reads the images, and ones behind them", async () => {
  const { device, space } = await setUp();
  assertEquals(device.rom.read16(0), 0xaa55);
  assertEquals(device.rom.read32(65532), 0xffff_ffff);
  failure("KERNEL", () => device.rom.write8(0, 1));
  await space.close();
});

Deno.test("VfioDevice.bar() throws when there is no such BAR", async () => {
  const { device, space } = await setUp();
  for (const index of [-1, 6, NaN]) {
    assertThrows(() => device.bar(index), RangeError);
  }
  const error = failure("NOT_SUPPORTED", () => device.bar(2));
  assertEquals(error.problem, "it has no BAR 2");
  assertEquals(
    error.hint,
    "it has BAR 0, ROM, config, VGA, intel-opregion, intel-host-config, " +
      "intel-lpc-config, region 12",
  );
  await refused("NOT_SUPPORTED", () => device.display());
  await space.close();
  failure("DETACHED", () => device.bar(1));
});

Deno.test("VfioDevice.vga has the ports and the memory of a VGA controller", async () => {
  const { device, space } = await setUp();
  const { vga } = device;
  assertEquals([vga.name, vga.mappable], ["VGA", []]);
  for (const offset of [0x3b0, 0x3cc, 0xa0000, 0xbffff]) {
    vga.write8(offset, 0x5a);
    assertEquals(vga.read8(offset), 0x5a);
  }
  for (const offset of [0, 0x3af, 0x3bc, 0x3e0, 0x9ffff]) {
    const error = failure("KERNEL", () => vga.read8(offset));
    assertEquals((error.cause as KernelError).code, "EINVAL");
  }
  assertThrows(() => vga.read8(0xc0000), RangeError);
  await space.close();
});

/** Answers each read of config space in a way of its own. */
function gone(answer: (into: Uint8Array) => number) {
  let isGone = false;
  const bench = setUp((call, proceed) =>
    isGone && call.method === "pread"
      ? answer(call.args[1] as Uint8Array)
      : proceed()
  );
  return { bench, pull: () => isGone = true };
}

Deno.test("VfioDevice.present is false when the function reads as ones", async () => {
  const { bench, pull } = gone((into) => into.fill(0xff).length);
  const { device, space } = await bench;
  assertEquals(device.present, true);
  pull();
  assertEquals(device.present, false);
  await refused("DEVICE_LOST", () => device.bar(0).until32(0, 1, 1));
  using registers = device.bar(0).map();
  // Its mapped registers still answer here.
  assertEquals(await registers.until32(0, 0xff, 0), 0x0302_0100);
  await space.close();
});

Deno.test("VfioDevice.present is false when the kernel no longer finds the function", async () => {
  const { bench, pull } = gone(() => {
    throw new KernelError(errnoNumber("ENODEV"), "pread");
  });
  const { device, space } = await bench;
  pull();
  assertEquals(device.present, false);
  await space.close();
  failure("DETACHED", () => device.present);
});

Deno.test("VfioDevice.present throws KERNEL when it is not known", async () => {
  const { bench, pull } = gone(() => {
    throw new KernelError(errnoNumber("EIO"), "pread");
  });
  const { device, space } = await bench;
  pull();
  failure("KERNEL", () => device.present);
  await space.close();
});
