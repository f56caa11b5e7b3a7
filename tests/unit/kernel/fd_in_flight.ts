import { assertEquals, assertRejects } from "@std/assert";
import { AddressSpace, Host, VfioDevice, VfioError } from "../../../mod.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { Fd } from "../../../lib/kernel/fd.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { VFIO_DEVICE_RESET } from "../../../lib/uapi/vfio/device.ts";

const EDU = { model: "edu", driver: "vfio-pci", reset: ["flr"] } as const;

function resettable() {
  return simulate({
    functions: { "0000:01:00.0": EDU, "0000:02:00.0": EDU },
  });
}

/** A kernel whose first reset is made when it is let go, or fails. */
function slowReset(sim: Host, outcome: () => unknown) {
  const gate = Promise.withResolvers<void>();
  let first = true;
  const kernel = intercept(sim.kernel, ({ method, args }, proceed) => {
    const isReset = method === "ioctlAsync" && args[1] === VFIO_DEVICE_RESET;
    if (!isReset || !first) return proceed();
    first = false;
    return gate.promise.then(outcome);
  });
  return { host: new Host({ kernel }), letGo: gate.resolve };
}

Deno.test("Fd.close() waits for the calls that are under way, and closes once", async () => {
  const gate = Promise.withResolvers<number>();
  const closed: number[] = [];
  const kernel = intercept(simulate().kernel, ({ method, args }, proceed) => {
    if (method === "ioctlAsync") return gate.promise;
    if (method === "close") closed.push(args[0] as number);
    return proceed();
  });
  const number = kernel.eventfd(0, 0);
  const fd = Fd.adopt(kernel, number);
  const calls = [
    fd.ioctlAsync(VFIO_DEVICE_RESET),
    fd.ioctlAsync(VFIO_DEVICE_RESET),
  ];
  fd.close();
  fd.close();
  assertEquals([fd.number, closed.length], [-1, 0]);
  // The number is not given to anybody else meanwhile.
  const other = kernel.eventfd(0, 0);
  assertEquals(other === number, false);
  gate.resolve(0);
  await Promise.all(calls);
  await Promise.resolve();
  assertEquals(closed, [number]);
});

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: VfioDevice.detach() waits for a reset, which reaches no other device`, async () => {
    const sim = resettable();
    let fd = -1;
    const { host, letGo } = slowReset(
      sim,
      () => sim.kernel.ioctlAsync(fd, VFIO_DEVICE_RESET),
    );
    await using spaceA = new AddressSpace({ host, backend });
    await using spaceB = new AddressSpace({ host, backend });
    const a = await VfioDevice.attach("0000:01:00.0", spaceA);
    fd = a.fd;
    const resetting = a.reset();
    const detaching = a.detach();
    const b = await VfioDevice.attach("0000:02:00.0", spaceB);
    assertEquals(b.fd === fd, false);
    b.region(0).write32(4, 0x1234_5678);
    const before = b.region(0).read32(4);
    letGo();
    await resetting;
    await detaching;
    assertEquals(b.region(0).read32(4), before);
  });
}

Deno.test("VfioDevice.reset() is DETACHED when the device is detached before it is tried again", async () => {
  const { host, letGo } = slowReset(resettable(), () => {
    throw new KernelError(11, "VFIO_DEVICE_RESET");
  });
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach("0000:01:00.0", space);
  const resetting = assertRejects(() => device.reset(), VfioError);
  const detaching = device.detach();
  letGo();
  assertEquals((await resetting).code, "DETACHED");
  await detaching;
});
