/** Memory that is shared, transferred, or refused at the wrong moment. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { AddressSpace, Host, VfioDevice } from "../../../mod.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { failure } from "../../failures.ts";

const EDU = { model: "edu", driver: "vfio-pci" } as const;
const ADDRESS = "0000:01:00.0";

function twoEdus() {
  return simulate({
    functions: { [ADDRESS]: EDU, "0000:02:00.0": EDU },
  });
}

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: DmaMemory.free() unmaps it from every space before its address is another's`, async () => {
    const host = twoEdus();
    await using a = new AddressSpace({ host, backend });
    await using b = new AddressSpace({ host, backend });
    const shared = a.allocate(4096);
    const { address } = shared;
    const mapping = b.map(shared);
    shared.free();
    const later = host.kernel.mmap(4096, 3, 0x21, -1, 0n);
    assertEquals(later.address, address);
    await VfioDevice.attach(ADDRESS, b);
    assertEquals(later.buffer.detached, false);
    // Nothing is mapped there.
    b.allocate(4096, { iova: mapping.iova });
  });

  Deno.test(`${backend}: AddressSpace.allocate() keeps clear of the interrupt window before and while a device is attached`, async () => {
    const host = twoEdus();
    await using space = new AddressSpace({ host, backend });
    const size = 3.5 * 2 ** 30;
    const before = space.allocate(size);
    const attaching = VfioDevice.attach(ADDRESS, space);
    const meanwhile = space.allocate(4096, { dmaMask: 0xffff_ffffn });
    await attaching;
    for (const { iova } of [before, meanwhile]) {
      assert(iova > 0xfeef_ffffn || iova < 0xfee0_0000n);
    }
  });

  Deno.test(`${backend}: AddressSpace.allocate() keeps clear of what an arriving device reserves`, async () => {
    const kernel = intercept(
      twoEdus().kernel,
      ({ args }, proceed) =>
        String(args[0]).endsWith("/reserved_regions")
          ? "0x10000 0xfffff reserved\n"
          : proceed(),
    );
    const host = new Host({ kernel });
    await using space = new AddressSpace({ host, backend });
    const attaching = VfioDevice.attach(ADDRESS, space);
    const meanwhile = space.allocate(4096);
    await attaching;
    assert(meanwhile.iova > 0xf_ffffn);
  });

  Deno.test(`${backend}: AddressSpace.limits() are wide again when the device is detached`, async () => {
    const host = twoEdus();
    await using space = new AddressSpace({ host, backend });
    const before = space.limits();
    const device = await VfioDevice.attach(ADDRESS, space);
    await device.detach();
    assertEquals(space.limits(), before);
  });
}

Deno.test("AddressSpace maps again after a device without an IOMMU is detached", async () => {
  const host = simulate({
    iommu: "none",
    kernel: { unsafeNoIommu: true },
    functions: { [ADDRESS]: EDU },
    hugePages: { "2M": 1 },
  });
  await using space = new AddressSpace({ host, unsafeNoIommu: true });
  const device = await VfioDevice.attach(ADDRESS, space);
  const at = { iova: 0x1_0000n };
  failure("IOVA_OUT_OF_RANGE", () => space.allocate(4096, at));
  await device.detach();
  space.allocate(4096, at);
});

Deno.test("DmaMemory.free() keeps memory whose buffer was transferred", () => {
  const host = twoEdus();
  const space = new AddressSpace({ host });
  const memory = space.allocate(4096);
  const { address } = memory;
  const taken = structuredClone(memory.buffer, { transfer: [memory.buffer] });
  failure("DETACHED", () => memory.bytes);
  memory.free();
  assertEquals(taken.byteLength, 4096);
  const later = host.kernel.mmap(4096, 3, 0x21, -1, 0n);
  assert(later.address !== address);
});

Deno.test("AddressSpace.allocate() leaves nothing when the kernel refuses to map and to unmap", async () => {
  const sim = twoEdus();
  let refuses = false;
  const kernel = intercept(sim.kernel, ({ method, args }, proceed) => {
    const isMap = method === "ioctl" &&
      (args[1] as { name: string }).name === "IOMMU_IOAS_MAP";
    if (refuses && (method === "munmap" || isMap)) {
      throw new KernelError(12, method);
    }
    return proceed();
  });
  const host = new Host({ kernel });
  const space = new AddressSpace({ host, backend: "iommufd" });
  await VfioDevice.attach(ADDRESS, space);
  refuses = true;
  failure("NO_MEMORY", () => space.allocate(4096));
  refuses = false;
  await space.close();
  const first = sim.kernel.mmap(4096, 3, 0x21, -1, 0n);
  sim.kernel.munmap(first);
  const again = sim.kernel.mmap(4096, 3, 0x21, -1, 0n);
  assertEquals(again.address, first.address);
});

Deno.test("AddressSpace.unmapAll() leaves memory without an IOVA, which is given out last", () => {
  const space = new AddressSpace({ host: twoEdus() });
  const memory = space.allocate(4096);
  const { iova } = memory;
  space.unmapAll();
  assertEquals(memory.mapped, false);
  failure("DETACHED", () => memory.iova);
  assert(space.allocate(4096).iova !== iova);
  space.map(memory);
  assert(memory.mapped);
  assert(memory.iova !== iova);
});

Deno.test("AddressSpace.map() is a TypeError for memory of another system, and for none", () => {
  const space = new AddressSpace({ host: twoEdus() });
  const other = new AddressSpace({ host: twoEdus() });
  const memory = other.allocate(4096);
  assertThrows(() => space.map(memory), TypeError, "another system");
  const range = { address: 0x1000n, size: 4096 } as never;
  assertThrows(() => space.map(range), TypeError, "unsafeMap()");
});

Deno.test("VfioDevice.attach() and Host.take() are a TypeError for a device of another host", async () => {
  const host = twoEdus();
  const elsewhere = twoEdus().function(ADDRESS);
  await using space = new AddressSpace({ host });
  for (
    const use of [
      () => VfioDevice.attach(elsewhere, space),
      () => host.take(elsewhere),
    ]
  ) {
    let error: unknown;
    try {
      await use();
    } catch (caught) {
      error = caught;
    }
    assert(error instanceof TypeError);
    assertEquals(error.message, `Cannot use ${ADDRESS} of another host`);
  }
});

Deno.test("VfioDevice.attach() is NOT_SUPPORTED when one device has an IOMMU and another has none", async () => {
  const host = simulate({
    kernel: { unsafeNoIommu: true, iommufd: false },
    functions: { [ADDRESS]: EDU, "0000:02:00.0": { ...EDU, group: null } },
  });
  for (const order of [[ADDRESS, "0000:02:00.0"], ["0000:02:00.0", ADDRESS]]) {
    await using space = new AddressSpace({ host, unsafeNoIommu: true });
    await VfioDevice.attach(order[0]!, space);
    let code: unknown;
    try {
      await VfioDevice.attach(order[1]!, space);
    } catch (error) {
      code = (error as { code: string }).code;
    }
    assertEquals(code, "NOT_SUPPORTED");
  }
});
