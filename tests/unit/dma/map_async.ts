/** Mapping without holding the event loop. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { DmaRange } from "../../../backends/backend.ts";
import { Mappings } from "../../../lib/dma/mappings.ts";
import { UNATTACHED } from "../../../lib/dma/unattached.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Ioctl } from "../../../lib/uapi/ioctl.ts";
import { AddressSpace, Host, VfioDevice, VfioError } from "../../../mod.ts";
import { failure } from "../../failures.ts";

const GIB = 2 ** 30;
const ADDRESS = "0000:01:00.0";
const EDU = { model: "edu", driver: "vfio-pci" } as const;

/** Mappings whose calls to the kernel are written down. */
function setUp(answer: (call: number) => void = () => {}) {
  const calls: string[] = [];
  const text = ({ page, address, file, bytes }: DmaRange) =>
    `${page * 4096 / GIB} ${address} ${file?.offset} ${bytes / GIB}`;
  const mappings = new Mappings({
    map: () => {},
    copy: () => {},
    dropAddresses: () => {},
    updateAddress: () => {},
    async mapAsync(range) {
      await Promise.resolve();
      answer(calls.push(`map ${text(range)}`));
    },
    unmap: (range) => void calls.push(`unmap ${text(range)}`),
    physical: () => ({ address: 0n, length: 0 }),
    noIommu: false,
  }, UNATTACHED);
  return { mappings, calls };
}

/** Memory of 2.5 GiB. */
const MEMORY = { address: 8192n, size: 2.5 * GIB };

Deno.test("Mappings.mapAsync() maps a GiB with each call, and unmap() all at once", async () => {
  const { mappings, calls } = setUp();
  const file = { fd: 7, offset: 4096 };
  const options = { iova: BigInt(4 * GIB) };
  const mapping = await mappings.mapAsync(
    { ...MEMORY, file },
    options,
    undefined,
    {},
  );
  mapping.unmap();
  assertEquals(calls, [
    "map 4 8192 4096 1",
    `map 5 ${8192 + GIB} ${4096 + GIB} 1`,
    `map 6 ${8192 + 2 * GIB} ${4096 + 2 * GIB} 0.5`,
    "unmap 4 8192 4096 2.5",
  ]);
});

Deno.test("Mappings.mapAsync() unmaps what it has mapped when a later call fails", async () => {
  const { mappings, calls } = setUp((call) => {
    if (call === 3) throw new KernelError(12, "ioctl");
  });
  const options = { iova: BigInt(4 * GIB) };
  const map = () => mappings.mapAsync(MEMORY, options, undefined, {});
  await assertRejects(map, Error, "ENOMEM");
  assertEquals(calls.slice(3), [
    "unmap 4 8192 undefined 1",
    `unmap 5 ${8192 + GIB} undefined 1`,
  ]);
  // The IOVA is free again.
  await map();
});

Deno.test("Mappings.mapAsync() stops after the present call when it is aborted", async () => {
  const aborted = new AbortController();
  const { mappings, calls } = setUp(() => aborted.abort(new Error("enough")));
  const { signal } = aborted;
  const map = () => mappings.mapAsync(MEMORY, {}, undefined, { signal });
  await assertRejects(map, Error, "enough");
  assertEquals(calls.length, 2);
  assert(calls[1]?.startsWith("unmap"));
  await assertRejects(map, Error, "enough");
  assertEquals(calls.length, 2);
});

/** A space whose asynchronous maps wait until `go` is called. */
async function setUpSpace(backend: "legacy" | "iommufd") {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { kernel } = simulate({
    functions: { [ADDRESS]: EDU, "0000:02:00.0": EDU },
  });
  const waiting = intercept(kernel, ({ method, args }, proceed) => {
    const maps = method === "ioctlAsync" &&
      (args[1] as Ioctl).name.includes("_MAP");
    return maps ? promise.then(proceed) : proceed();
  });
  const host = new Host({ kernel: waiting });
  const space = new AddressSpace({ host, backend });
  const memory = space.allocate(8192);
  const device = await VfioDevice.attach(ADDRESS, space);
  return { space, memory, device, go: resolve };
}

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: AddressSpace.mapAsync() keeps the memory from being freed`, async () => {
    const { space, memory, go } = await setUpSpace(backend);
    const map = space.mapAsync(memory);
    assertThrows(() => memory.free(), TypeError, "await mapAsync() first");
    go();
    await map;
    memory.free();
    await space.close();
  });

  Deno.test(`${backend}: VfioDevice.attach() waits for AddressSpace.mapAsync()`, async () => {
    const { space, memory, go } = await setUpSpace(backend);
    const order: string[] = [];
    const map = space.mapAsync(memory).then(() => order.push("mapped"));
    const attach = VfioDevice.attach("0000:02:00.0", space)
      .then(() => order.push("attached"));
    go();
    await Promise.all([map, attach]);
    assertEquals(order, ["mapped", "attached"]);
    await space.close();
  });

  Deno.test(`${backend}: AddressSpace.close() gives up a map that is under way`, async () => {
    const { space, memory, go } = await setUpSpace(backend);
    const map = space.mapAsync(memory);
    const closing = space.close();
    go();
    await failureOf("DETACHED", map);
    await closing;
    await failureOf("DETACHED", space.mapAsync(memory));
  });

  Deno.test(`${backend}: AddressSpace.mapAsync() maps for devices attached later when the last one leaves meanwhile`, async () => {
    const { space, memory, device, go } = await setUpSpace(backend);
    const map = space.mapAsync(memory);
    const detach = device.detach();
    go();
    const { iova } = await map;
    await detach;
    failure("IOVA_OVERLAP", () => space.map(memory, { iova }));
    await space.close();
  });
}

/** Asserts that work fails with a code. */
async function failureOf(code: string, work: Promise<unknown>): Promise<void> {
  const error = await assertRejects(() => work, VfioError);
  assertEquals(error.code, code);
}
