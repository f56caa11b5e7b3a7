/**
 * The objects of iommufd on simulated machines: one whose IOMMU logs writes, one
 * without an IOMMU.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AddressSpace, VfioDevice, VfioError } from "../../../mod.ts";
import { FaultQueue, Hwpt, Iommufd } from "../../../backends/iommufd/mod.ts";
import { Edu } from "../../vm/guest/edu.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { Host } from "../../../lib/host/host.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/mod.ts";
import { failure, refused } from "../../failures.ts";

const A = "0000:00:03.0";
const PAGE = 4096;

/** A machine with an edu, whose IOMMU logs writes. */
const LOGS: Topology = {
  dirtyTracking: true,
  functions: { [A]: { model: "edu", driver: "vfio-pci" } },
};

Deno.test("Hwpt.readDirty() tells exactly the pages that a device has written", async () => {
  const host = simulate(LOGS);
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const device = await VfioDevice.attach(A, space);
  const edu = new Edu(device);
  const memory = space.allocate(16 * PAGE, { iova: 0x10_0000n });
  const { find, ioas } = await space.iommufd();
  const bound = find(device);
  assertEquals(bound.hardwareInfo().dirtyTracking, true);
  const table = Hwpt.attach(bound, ioas, { dirtyTracking: true });
  const read = (keep = false) => {
    const bitmap = new Uint8Array(2);
    table.readDirty(memory.iova, memory.size, PAGE, bitmap, { keep });
    return [...bitmap];
  };
  failure("NOT_SUPPORTED", () => read());
  table.setDirtyTracking(true);
  for (const page of [0, 3, 15]) {
    await edu.copyFromDevice(memory.iova + BigInt(page * PAGE + 8), 4);
  }
  await edu.copyToDevice(memory.iova + BigInt(5 * PAGE), 4);
  assertEquals(read(true), [0b1001, 0x80]);
  assertEquals(read(), [0b1001, 0x80]);
  assertEquals(read(), [0, 0]);
  await edu.copyFromDevice(memory.iova, 4);
  table.setDirtyTracking(true);
  assertEquals(read(), [0, 0]);
  // One call writes to two pages.
  await edu.copyFromDevice(memory.iova + BigInt(2 * PAGE - 2), 4);
  assertEquals(read(), [0b110, 0]);
  // The kernel ends at a hole, and says nothing.
  const more = space.allocate(PAGE, { iova: 0x11_1000n });
  await edu.copyFromDevice(more.iova, 4);
  const bitmap = new Uint8Array(3);
  table.readDirty(memory.iova, 18 * PAGE, PAGE, bitmap);
  assertEquals([...bitmap], [0, 0, 0]);
  table.readDirty(more.iova, PAGE, PAGE, bitmap);
  assertEquals([...bitmap], [1, 0, 0]);
});

Deno.test("a page table that is asked for a log is not shared with another that is not", async () => {
  const host = simulate(LOGS);
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const device = await VfioDevice.attach(A, space);
  const { find, ioas } = await space.iommufd();
  const plain = Hwpt.attach(find(device), ioas);
  const table = Hwpt.attach(find(device), ioas, { dirtyTracking: true });
  assertEquals(table === plain, false);
  assertEquals(plain.users, []);
  assertEquals(Hwpt.attach(find(device), ioas, { dirtyTracking: true }), table);
});

Deno.test("Ioas.physicalAddress() tells where memory is that a device without an IOMMU is given", async () => {
  const host = simulate({
    iommu: "none",
    kernel: { release: "7.3.4" },
    functions: { [A]: { model: "edu" } },
    hugePages: { "2M": 2 },
  });
  host.kernel.writeFile(
    "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
    "1",
  );
  await using _taken = await host.take(A);
  await using space = new AddressSpace({
    host,
    backend: "iommufd",
    unsafeNoIommu: true,
  });
  const device = await VfioDevice.attach(A, space);
  const memory = space.allocate(PAGE);
  const { find, ioas } = await space.iommufd();
  const iova = ioas.unsafeMap({ address: memory.address, size: memory.size });
  assertEquals(
    ioas.physicalAddress(iova, memory.size).address,
    memory.physical().address,
  );
  failure("NOT_SUPPORTED", () => find(device).hardwareInfo());
  failure("NOT_SUPPORTED", () => Hwpt.allocate(find(device), ioas));
});

Deno.test("Iommufd.open() says why there is none", () => {
  for (
    const [errno, code] of [
      ["ENOENT", "BACKEND_UNAVAILABLE"],
      ["EACCES", "PERMISSION_DENIED"],
      ["EMFILE", "KERNEL"],
    ] as const
  ) {
    const kernel = intercept(simulate().kernel, ({ method }, proceed) => {
      if (method !== "open") return proceed();
      throw new KernelError(errnoNumber(errno), "open", "/dev/iommu");
    });
    failure(code, () => Iommufd.open(new Host({ kernel })));
  }
});

Deno.test("Iommufd.changeProcess() says that this process may lock less", () => {
  const kernel = intercept(simulate().kernel, ({ method, args }, proceed) => {
    const name = (args[1] as { name?: string } | undefined)?.name;
    if (method !== "ioctl" || name !== "IOMMU_IOAS_CHANGE_PROCESS") {
      return proceed();
    }
    throw new KernelError(errnoNumber("ENOMEM"), name);
  });
  using iommufd = Iommufd.open(new Host({ kernel }));
  failure("MEMLOCK_LIMIT", () => iommufd.changeProcess());
});

Deno.test("an object that the kernel keeps says that something else does", () => {
  const host = simulate();
  using iommufd = Iommufd.open(host);
  using other = Iommufd.from(iommufd.fd.number, host);
  const ioas = iommufd.allocateIoas();
  // Somebody else has destroyed it.
  other.destroy(ioas.id, ioas.name);
  ioas.destroy();
  assertEquals(ioas.destroyed, true);
  const kept = intercept(host.kernel, ({ method, args }, proceed) => {
    const name = (args[1] as { name?: string } | undefined)?.name;
    if (method !== "ioctl" || name !== "IOMMU_DESTROY") return proceed();
    throw new KernelError(errnoNumber("EBUSY"), "IOMMU_DESTROY");
  });
  const busy = Iommufd.open(new Host({ kernel: kept }));
  const mine = busy.allocateIoas();
  const { message } = failure("IN_USE", () => mine.destroy());
  assertEquals(message.split("\n")[0]!.endsWith("not made here"), true);
  assertThrows(() => busy.close(), VfioError);
  assertEquals(busy.closed, true);
});

Deno.test("VfioDevice.attach() with a page table by the legacy backend says what to do", async () => {
  const host = simulate(LOGS);
  await using space = new AddressSpace({ host, backend: "legacy" });
  const pageTable = { id: 1, name: "page table 1", iommufd: {} };
  const error = await refused(
    "NOT_SUPPORTED",
    () => VfioDevice.attach(A, space, { pageTable }),
  );
  assertEquals(error.device, A);
});

/** Two devices of one group behind an IOMMU that logs, and one alone. */
const GROUPED: Topology = {
  dirtyTracking: true,
  functions: {
    [A]: { model: "edu", driver: "vfio-pci", group: 1 },
    "0000:00:04.0": { model: "edu", driver: "vfio-pci", group: 2 },
    "0000:00:04.1": { model: "edu", driver: "vfio-pci", group: 2 },
  },
};

Deno.test("the first device of a space can be attached to a page table of another space", async () => {
  const host = simulate(GROUPED);
  using iommufd = Iommufd.open(host);
  await using first = new AddressSpace({ host, iommufd });
  await using second = new AddressSpace({ host, iommufd });
  const device = await VfioDevice.attach(A, first);
  const { find, ioas } = await first.iommufd();
  const pageTable = Hwpt.attach(find(device), ioas);
  const other = await VfioDevice.attach("0000:00:04.0", second, { pageTable });
  assertEquals(pageTable.users, [A, other.name]);
  await device.detach();
  assertEquals(pageTable.users, [other.name]);
});

Deno.test("devices of a group are refused another page table than it has", async () => {
  const host = simulate(GROUPED);
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const [one, two] = ["0000:00:04.0", "0000:00:04.1"] as const;
  const alone = await VfioDevice.attach(A, space);
  const device = await VfioDevice.attach(one, space);
  const { find, ioas } = await space.iommufd();
  const pageTable = Hwpt.attach(find(alone), ioas);
  const attach = (options = {}) => VfioDevice.attach(two, space, options);
  const refusals = [
    await refused("NOT_SUPPORTED", () => attach({ pageTable })),
  ];
  find(device).attach(pageTable);
  refusals.push(await refused("NOT_SUPPORTED", () => attach()));
  for (const { message } of refusals) assertStringIncludes(message, one);
  await attach({ pageTable });
  await device.detach();
  using faultQueue = FaultQueue.allocate((await space.iommufd()).iommufd);
  using requests = Hwpt.allocate(find(alone), ioas, { faultQueue });
  await refused(
    "NOT_SUPPORTED",
    () => VfioDevice.attach(one, space, { pageTable: requests }),
  );
});

Deno.test("dirty tracking tells all memory once a device was moved, also to its IOAS", async () => {
  const host = simulate(LOGS);
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const device = await VfioDevice.attach(A, space);
  const memory = space.allocate(4 * PAGE, { iova: 0x10_0000n });
  const { find, ioas } = await space.iommufd();
  await space.dirty.start();
  assertEquals((await space.dirty.read(memory)).dirtyPages, 0);
  // The kernel takes a page table for it that logs nothing.
  find(device).attach(ioas);
  await new Edu(device).copyFromDevice(memory.iova, 4);
  const { dirtyPages, exact } = await space.dirty.read(memory);
  assertEquals([dirtyPages, exact], [4, false]);
});
