import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AddressSpace, Host, VfioDevice } from "../../../mod.ts";
import type { BackendName } from "../../../mod.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { traced } from "../../../lib/kernel/trace.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { failure, refused } from "../../failures.ts";

const NAKED = "0000:01:00.0";
const ISOLATED = "0000:02:00.0";

/** A host with a device that no IOMMU isolates, and one that is isolated. */
function setUp() {
  const edu = { model: "edu", driver: "vfio-pci" };
  return simulate({
    kernel: { unsafeNoIommu: true },
    functions: { [NAKED]: { ...edu, group: null }, [ISOLATED]: edu },
    hugePages: { "2M": 4, "1G": 1 },
  });
}

function spaceOf(host: Host, backend: BackendName): AddressSpace {
  return new AddressSpace({ host, backend, unsafeNoIommu: true });
}

/** A host on which some calls fail, or answer something else. */
function changed(around: Parameters<typeof intercept>[1]): Host {
  return new Host({ kernel: intercept(setUp().kernel, around) });
}

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: AddressSpace.allocate() takes one page that holds all, when there is no IOMMU`, async () => {
    await using space = spaceOf(setUp(), backend);
    await VfioDevice.attach(NAKED, space);
    const memory = space.allocate(2 ** 21 + 1);
    assertEquals(memory.physical().length, 2 ** 30);
    assertThrows(
      () => space.allocate(2 ** 30 + 1),
      RangeError,
      "with hugepages there can be several",
    );
    assertEquals(space.allocate(1).size, 2 ** 21);
  });

  Deno.test(`${backend}: DmaMemory.physical() throws a RangeError when it has no such byte`, async () => {
    await using space = spaceOf(setUp(), backend);
    await VfioDevice.attach(NAKED, space);
    const memory = space.allocate(4096);
    for (const offset of [-1, 2 ** 21, 0.5, NaN]) {
      assertThrows(() => memory.physical(offset), RangeError, `${offset}`);
    }
  });

  Deno.test(`${backend}: DmaMemory.physical() is NOT_SUPPORTED behind an IOMMU`, async () => {
    await using space = spaceOf(setUp(), backend);
    await VfioDevice.attach(ISOLATED, space);
    const memory = space.allocate(4096);
    assertEquals(memory.size, 4096);
    const error = failure("NOT_SUPPORTED", () => memory.physical());
    assertEquals(error.hint, "give them the IOVA");
  });

  Deno.test(`${backend}: VfioDevice.attach() is NOT_SUPPORTED for an isolated device when memory was allocated for one without an IOMMU`, async () => {
    await using space = spaceOf(setUp(), backend);
    const device = await VfioDevice.attach(NAKED, space);
    const memory = space.allocate(4096);
    await device.detach();
    const error = await refused(
      "NOT_SUPPORTED",
      () => VfioDevice.attach(ISOLATED, space),
    );
    assertStringIncludes(error.message, "were mapped for devices without");
    memory.free();
    await VfioDevice.attach(ISOLATED, space);
  });

  Deno.test(`${backend}: DmaMemory.physical() is DETACHED when it is not mapped`, async () => {
    await using space = spaceOf(setUp(), backend);
    await VfioDevice.attach(NAKED, space);
    const memory = space.allocate(4096);
    space.unmapAll();
    failure("DETACHED", () => memory.physical());
    const mapping = space.map(memory);
    assertEquals(memory.physical(5), mapping.physical(5));
    mapping.unmap();
    failure("DETACHED", () => mapping.physical());
  });

  Deno.test(`${backend}: AddressSpace.allocate() leaves nothing when physical addresses are hidden`, async () => {
    const host = changed(({ method, args }, proceed) => {
      const [, operation] = args as [unknown, { name: string }];
      if (operation?.name === "IOMMU_IOAS_NOIOMMU_GET_PA") {
        throw new KernelError(1, operation.name);
      }
      if (method !== "pread") return proceed();
      const into = args[1] as Uint8Array;
      const result = proceed();
      for (let at = 0; at < into.length; at += 8) into.fill(0, at, at + 6);
      return result;
    });
    await using space = spaceOf(host, backend);
    await VfioDevice.attach(NAKED, space);
    const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    const error = failure("PERMISSION_DENIED", () => space.allocate(4096));
    assertStringIncludes(
      error.message,
      backend === "legacy" ? "CAP_SYS_ADMIN" : "CAP_SYS_RAWIO",
    );
    assertEquals(host.kernel.readFile(pool).trim(), "4");
  });

  Deno.test(`${backend}: VfioDevice.attach() says which capability a device without an IOMMU takes`, async () => {
    const host = changed(({ method, args }, proceed) => {
      const opens = method === "open" && /noiommu-/.test(String(args[0]));
      if (opens) throw new KernelError(1, "open", String(args[0]));
      return proceed();
    });
    await using space = spaceOf(host, backend);
    const error = await refused(
      "PERMISSION_DENIED",
      () => VfioDevice.attach(NAKED, space),
    );
    assertStringIncludes(error.message, "CAP_SYS_RAWIO");
  });

  Deno.test(`${backend}: a trace shows no physical address`, async () => {
    const lines: string[] = [];
    const host = new Host({
      kernel: traced(setUp().kernel, (line) => lines.push(line)),
    });
    await using space = spaceOf(host, backend);
    await VfioDevice.attach(NAKED, space);
    const memory = space.allocate(4096);
    const address = memory.physical().address.toString(16);
    const [line] = lines.filter((line) =>
      /GET_PA|pread/.test(line) && line.includes(" = ")
    );
    assertStringIncludes(
      line!,
      backend === "legacy" ? "bytes], 0x" : "out_phys=…",
    );
    const shown = new RegExp(`\\b(0x)?${address}\\b`);
    assertEquals(lines.filter((line) => shown.test(line)), []);
  });
}

for (
  const [errno, code, text] of [
    [13, "PERMISSION_DENIED", "CAP_SYS_ADMIN"],
    [2, "NOT_SUPPORTED", "CONFIG_PROC_PAGE_MONITOR"],
  ] as const
) {
  Deno.test(`DmaMemory.physical() is ${code} when pagemap cannot be opened with errno ${errno}`, async () => {
    const host = changed(({ method, args }, proceed) => {
      if (method === "open" && args[0] === "/proc/self/pagemap") {
        throw new KernelError(errno, "open");
      }
      return proceed();
    });
    await using space = spaceOf(host, "legacy");
    await VfioDevice.attach(NAKED, space);
    const error = failure(code, () => space.allocate(4096));
    assertStringIncludes(error.message, text);
  });
}

Deno.test("DmaMemory.physical() is NO_MEMORY when the memory is not there", async () => {
  const host = changed(({ method, args }, proceed) => {
    const result = proceed();
    if (method === "pread") (args[1] as Uint8Array).fill(0);
    return result;
  });
  await using space = spaceOf(host, "legacy");
  await VfioDevice.attach(NAKED, space);
  const error = failure("NO_MEMORY", () => space.allocate(4096));
  assertStringIncludes(error.message, "not in physical memory");
});

Deno.test("VfioDevice.attach() attaches a device without an IOMMU on a kernel without groups", async () => {
  const host = changed(({ args }, proceed) => {
    const [path] = args;
    const ofGroups = /\/iommu_group$|^\/sys\/class\/vfio\/|iommu_groups/;
    if (ofGroups.test(String(path))) throw new KernelError(2, "open");
    return proceed();
  });
  await using space = new AddressSpace({ host, unsafeNoIommu: true });
  const device = await VfioDevice.attach(NAKED, space);
  assertEquals(space.backend?.backend, "iommufd");
  assertEquals(device.config.read16(0), 0x1234);
  await refused("ALREADY_ATTACHED", () => VfioDevice.attach(NAKED, space));
});
