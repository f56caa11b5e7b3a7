import { assertEquals, assertThrows } from "@std/assert";
import {
  AddressSpace,
  type Display,
  type Kernel,
  VfioDevice,
} from "../../../mod.ts";
import { Edid } from "../../../lib/device/display/edid.ts";
import type { Region } from "../../../lib/device/regions/region.ts";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { F_SETFD } from "../../../lib/uapi/linux/fcntl.ts";
import type { Ioctl } from "../../../lib/uapi/ioctl.ts";
import { buildMachine } from "../../../lib/sim/machine/build.ts";
import type { SimKernel } from "../../../lib/sim/process/kernel.ts";
import { failure, refused } from "../../failures.ts";

const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

/**
 * Answers in place of the simulation, in which no dma-buf can be mapped, as in
 * the sample.
 */
function answerOf(name: string, args: readonly unknown[]): unknown {
  if (name !== "mmap" && name !== "munmap") return undefined;
  if (name === "munmap") return true;
  const length = args[0] as number;
  return { address: 1n, length, buffer: PICTURE.slice().buffer };
}

/** The pixels. */
const PICTURE = Uint8Array.from({ length: 64 * 64 * 4 }, (_, i) => i % 251);

/** A display whose picture has 64 by 64 pixels in a dma-buf. */
async function setUp() {
  const fails: Partial<Record<string, string>> = {};
  const parent = "/sys/devices/virtual/mbochs/mbochs";
  const process: SimKernel = buildMachine({
    functions: {},
    mediated: { [UUID]: { parent, type: "mbochs-small" } },
  }).spawn();
  const calls: string[] = [];
  const kernel: Kernel = intercept(process, ({ method, args }, proceed) => {
    const name = method === "ioctl" ? (args[1] as Ioctl).name : method;
    calls.push(name === "fcntl" ? `fcntl ${args[1]} ${args[2]}` : name);
    const errno = fails[name];
    if (errno === undefined) return answerOf(name, args) ?? proceed();
    throw new KernelError(errnoNumber(errno), name);
  });
  const host = new Host({ kernel });
  const space = new AddressSpace({ host });
  const path = `/sys/bus/mdev/devices/${UUID}`;
  const device = await VfioDevice.attach(path, space);
  for (const [i, value] of [64, 64, 32, 1].entries()) {
    device.bar(2).write16(0x502 + 2 * i, value);
  }
  const display = await device.display();
  const files = () => [...process.files.values()].map((f) => f.linkText);
  return { device, display, space, calls, files, fails };
}

/** The plane of a display, whose first query fails. */
function planeOf(display: Display) {
  assertThrows(() => display.plane(), Error, "ENOMEM");
  return display.plane()!;
}

Deno.test("Display.export() returns a descriptor that is closed at exec and at the detach", async () => {
  const { device, display, space, calls, files } = await setUp();
  const plane = planeOf(display);
  const first = display.export(plane);
  assertEquals(first.size, 64 * 64 * 4);
  assertEquals(calls.at(-1), `fcntl ${F_SETFD} 1`);
  first[Symbol.dispose]();
  assertEquals([first.fd, files().includes("/dmabuf:")], [-1, false]);
  const second = display.export(plane);
  assertEquals(files().includes("/dmabuf:"), true);
  await device.detach();
  assertEquals([second.fd, files().includes("/dmabuf:")], [-1, false]);
  second[Symbol.dispose]();
  failure("DETACHED", () => display.plane());
  failure("DETACHED", () => display.export(plane));
  await space.close();
});

for (const call of ["fcntl", "mmap", "munmap", "VFIO_DEVICE_GET_GFX_DMABUF"]) {
  Deno.test(`Display.capture() leaves no descriptor when ${call} fails`, async () => {
    const { display, space, files, fails } = await setUp();
    const plane = planeOf(display);
    const before = files();
    fails[call] = "ENOMEM";
    failure("KERNEL", () => display.capture(plane));
    assertEquals(files(), before);
    delete fails[call];
    assertEquals(display.capture(plane), PICTURE);
    await space.close();
  });
}

for (const errno of ["EACCES", "EINVAL", "ENODEV"]) {
  Deno.test(`Display.capture() throws NOT_SUPPORTED when mmap fails with ${errno}`, async () => {
    const { display, space, files, fails } = await setUp();
    const plane = planeOf(display);
    const before = files();
    fails.mmap = errno;
    failure("NOT_SUPPORTED", () => display.capture(plane));
    assertEquals(files(), before);
    await space.close();
  });
}

Deno.test("VfioDevice.display() throws NOT_SUPPORTED when the driver has none, and KERNEL else", async () => {
  const { device, space, fails } = await setUp();
  fails.VFIO_DEVICE_QUERY_GFX_PLANE = "ENOTTY";
  await refused("NOT_SUPPORTED", () => device.display());
  fails.VFIO_DEVICE_QUERY_GFX_PLANE = "EIO";
  await refused("KERNEL", () => device.display());
  delete fails.VFIO_DEVICE_QUERY_GFX_PLANE;
  const display = await device.display();
  assertEquals(display.kind, "dma-buf");
  fails.VFIO_DEVICE_QUERY_GFX_PLANE = "EINVAL";
  const error = failure("NOT_SUPPORTED", () => display.plane("overlay"));
  assertEquals(error.problem, "it has no overlay plane");
  await space.close();
});

Deno.test("Edid.plug() refuses an EDID of the wrong length", async () => {
  const { display, space } = await setUp();
  const edid = display.edid!;
  for (const length of [0, 1025]) {
    assertThrows(() => edid.plug(new Uint8Array(length)), RangeError);
  }
  assertEquals(edid.plugged, false);
  await space.close();
});

Deno.test("Edid throws KERNEL when the driver keeps the monitor as it was", () => {
  for (const state of [1, 2]) {
    const region = {
      read32: (offset: number) => offset === 20 ? state : 256,
      write() {},
      write32() {},
    } as unknown as Region;
    const edid = new Edid("gpu", region);
    assertEquals(edid.plugged, state === 1);
    failure(
      "KERNEL",
      () => state === 1 ? edid.unplug() : edid.plug(new Uint8Array(8)),
    );
  }
});
