/** `VfioDevice.irq`: what only the simulation and stubs provoke. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  AddressSpace,
  type EventSource,
  Host,
  type IrqVector,
  VfioDevice,
} from "../../../mod.ts";
import { irqNames } from "../../../lib/device/interrupts/irq_names.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import {
  VFIO_DEVICE_FLAGS_AP,
  VFIO_DEVICE_FLAGS_CCW,
  VFIO_DEVICE_GET_INFO,
  vfio_device_info,
  VFIO_DEVICE_SET_IRQS,
} from "../../../lib/uapi/vfio/all.ts";
import { failure, refused } from "../../failures.ts";

const ADDRESS = "0000:01:00.0";

/** A function with MSI and MSI-X of which the host has so many vectors. */
function hostWith(vectors?: number) {
  return simulate({
    functions: {
      [ADDRESS]: {
        id: "8086:10d3",
        driver: "vfio-pci",
        interrupts: { intx: true, msi: 16, msix: 64 },
        ...vectors === undefined ? {} : { vectors },
      },
    },
  });
}

/** Attaches the function, with some calls of the kernel answered here. */
async function attached(
  answer: (call: KernelCall, proceed: () => unknown) => unknown = (
    _,
    proceed,
  ) => proceed(),
  vectors?: number,
) {
  const { kernel, machine } = hostWith(vectors);
  const host = new Host({ kernel: intercept(kernel, answer) });
  const space = new AddressSpace({ host });
  const device = await VfioDevice.attach(ADDRESS, space);
  return {
    device,
    machine,
    kernel,
    [Symbol.asyncDispose]: () => space.close(),
  };
}

function isSetIrqs({ method, args }: KernelCall): boolean {
  return method === "ioctlAsync" && args[1] === VFIO_DEVICE_SET_IRQS;
}

Deno.test("Irq.enable() throws when the host has fewer vectors, unless fewer will do", async () => {
  await using bench = await attached(undefined, 4);
  const msi = bench.device.irq("msi");
  const error = await refused("VECTORS_EXHAUSTED", () => msi.enable(16));
  assertEquals(
    error.problem,
    "cannot enable 16 vectors of msi: the host has 4 for it",
  );
  assertEquals(
    error.hint,
    "enable fewer, or say how many will do: enable(16, { least: 4 })",
  );
  await refused("VECTORS_EXHAUSTED", () => msi.enable(16, { least: 5 }));
  assertEquals(msi.enabled, false);
  assertEquals((await msi.enable(16, { least: 1 })).length, 4);
  await refused("NOT_SUPPORTED", () => msi.resize(5));
  await msi.disable();
  const range = { start: 2, count: 8 };
  const some = await msi.enable(range, { least: 2 });
  assertEquals(some.map(({ index }) => index), [2, 3]);
  await msi.disable();
  await refused("VECTORS_EXHAUSTED", () => msi.enable(range, { least: 3 }));
  const msix = bench.device.irq("msix");
  await msix.enable(3);
  await msix.resize(4);
  await refused("VECTORS_EXHAUSTED", () => msix.resize(6));
  assertEquals(msix.vectors.length, 4);
});

Deno.test("Irq.enable() tells why the kernel refuses", async () => {
  let errno = "";
  await using bench = await attached((call, proceed) => {
    if (errno === "" || !isSetIrqs(call)) return proceed();
    throw new KernelError(errnoNumber(errno), "VFIO_DEVICE_SET_IRQS");
  });
  const intx = bench.device.irq("intx");
  for (
    const [code, expected] of [
      ["EBUSY", "DEVICE_BUSY"],
      ["ENODEV", "NOT_SUPPORTED"],
      ["ENOSPC", "VECTORS_EXHAUSTED"],
      ["ENOMEM", "KERNEL"],
    ] as const
  ) {
    errno = code;
    const error = await refused(expected, () => intx.enable());
    assertEquals(error.device, ADDRESS);
  }
  errno = "";
  const [line] = await intx.enable();
  errno = "EIO";
  await refused("KERNEL", () => intx.disable());
  assertEquals([intx.enabled, line!.connected], [true, true]);
  // A detach completes all the same.
  await bench.device.detach();
  assertEquals(line!.connected, false);
});

Deno.test("VfioDevice.irq() names the interrupts of channel and crypto devices", async () => {
  for (
    const [flag, name, index] of [
      [VFIO_DEVICE_FLAGS_CCW, "request", 2],
      [VFIO_DEVICE_FLAGS_CCW, "io", 0],
      [VFIO_DEVICE_FLAGS_AP, "request", 0],
    ] as const
  ) {
    await using bench = await attached(({ args }, proceed) => {
      const result = proceed();
      if (args[1] !== VFIO_DEVICE_GET_INFO) return result;
      const bytes = args[2] as Uint8Array;
      const info = vfio_device_info.decode(bytes);
      vfio_device_info.encode(bytes, { ...info, flags: flag });
      return result;
    });
    assertEquals(bench.device.irq(name).index, index);
    failure("NOT_SUPPORTED", () => bench.device.irq("msix"));
  }
  assertEquals(irqNames("platform"), []);
  assertEquals(irqNames(undefined), []);
});

/** One vector of the function's MSI-X, whose eventfd is waited for this way. */
async function vectorOf(
  change: (source: EventSource) => Partial<EventSource> = () => ({}),
) {
  const bench = await attached(({ method }, proceed) => {
    if (method !== "eventSource") return proceed();
    const source = proceed() as EventSource;
    return { ...source, ...change(source) };
  });
  const irq = bench.device.irq("msix");
  const [vector] = await irq.enable();
  return { ...bench, irq, vector: vector! };
}

/** The uncaught errors that there are until `use` is over. */
async function uncaughtIn(use: () => Promise<void>): Promise<unknown[]> {
  const errors: unknown[] = [];
  const note = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  globalThis.addEventListener("error", note);
  try {
    await use();
  } finally {
    globalThis.removeEventListener("error", note);
  }
  return errors;
}

Deno.test("IrqVector.listen() reports what its listener throws, and goes on", async () => {
  await using bench = await vectorOf();
  const { irq, vector } = bench;
  const thrown = new Error("from the listener");
  let calls = 0;
  using _ = vector.listen(() => {
    calls++;
    throw thrown;
  });
  const errors = await uncaughtIn(async () => {
    for (let i = 1; i <= 2; i++) {
      const next = vector.next();
      irq.trigger();
      assertEquals(await next, 1);
    }
  });
  assertEquals([calls, ...errors], [2, thrown, thrown]);
});

Deno.test("IrqVector tells everybody who waits when its eventfd cannot be read", async () => {
  await using bench = await vectorOf(() => ({
    read() {
      throw new KernelError(errnoNumber("EIO"), "read");
    },
  }));
  const { irq, vector } = bench;
  const errors = await uncaughtIn(async () => {
    vector.listen(() => {});
    const counts = vector.counts();
    const waiting = [vector.next(), counts.next()];
    irq.trigger();
    for (const one of waiting) await refused("KERNEL", () => one);
    assertEquals((await counts.next()).done, true);
  });
  assertEquals(errors.map((error) => (error as { code: string }).code), [
    "KERNEL",
  ]);
});

Deno.test("IrqVector waits in the background only while nobody waits otherwise", async () => {
  const waits: unknown[] = [];
  await using bench = await vectorOf((source) => ({
    arm(ready, inBackground) {
      waits.push(inBackground);
      source.arm(ready);
    },
    disarm() {
      waits.push("not");
      source.disarm();
    },
  }));
  const { irq, vector } = bench;
  const listening = vector.listen(() => {}, { inBackground: true });
  const next = vector.next();
  irq.trigger();
  await next;
  listening[Symbol.dispose]();
  assertEquals(waits, [true, "not", false, true, "not"]);
});

Deno.test("IrqVector.counts() adds up what others were given while it was not asked", async () => {
  await using bench = await vectorOf();
  const { irq, vector } = bench;
  const slow = vector.counts();
  for (let i = 0; i < 3; i++) {
    const next = vector.next();
    irq.trigger();
    await next;
  }
  assertEquals((await slow.next()).value, 3);
  const two = [slow.next(), slow.next()];
  irq.trigger();
  assertEquals((await two[0]!).value, 1);
  irq.trigger();
  assertEquals((await two[1]!).value, 1);
  await slow.return!();
  assertEquals((await slow.next()).done, true);
});

Deno.test("VfioDevice.errors has the errors that the function reports", async () => {
  await using bench = await attached();
  const { device, machine } = bench;
  await device.errors.vector();
  machine.reportError(ADDRESS);
  machine.reportError(ADDRESS);
  assertEquals(await device.errors.next(), 2);
  assertThrows(() => machine.reportError("0000:09:00.0"), TypeError);
});

Deno.test("VfioDevice.requests has a request every ten seconds until the device is detached", async () => {
  await using bench = await attached();
  const { device, machine } = bench;
  const start = performance.now();
  const other = machine.spawn();
  const unbind = "/sys/bus/pci/drivers/vfio-pci/unbind";
  const times: number[] = [];
  await device.requests.vector();
  const unbound = other.writeFileAsync(unbind, ADDRESS);
  for await (const count of device.requests) {
    assertEquals(count, 1);
    times.push(performance.now() - start);
    if (times.length === 3) await device.detach();
  }
  await unbound;
  assertEquals(times.map((time) => Math.round(time / 10_000)), [0, 1, 2]);
});

Deno.test("IrqEvents.counts() is given up by a signal, and by whoever iterates", async () => {
  await using bench = await attached();
  const { device } = bench;
  const abort = new AbortController();
  const next = device.requests.counts(abort).next();
  await device.requests.vector();
  abort.abort("enough");
  assertEquals(await next.catch((reason) => reason), "enough");
  const counts = device.requests[Symbol.asyncIterator]();
  const waiting = counts.next();
  assertEquals((await counts.return!()).done, true);
  assertEquals((await waiting).done, true);
  // The interrupt is its own, and was enabled once.
  const [vector] = device.irq("request").vectors;
  assertEquals(await device.requests.vector(), vector as IrqVector);
});

Deno.test("Irq.enable() and disable() leave nothing behind after a thousand rounds of 64 vectors", async () => {
  await using bench = await attached();
  const { device, kernel } = bench;
  const { files } = kernel as unknown as {
    files: ReadonlyMap<number, unknown>;
  };
  const before = files.size;
  const irq = device.irq("msix");
  for (let round = 0; round < 1000; round++) {
    const vectors = await irq.enable(64);
    const next = vectors[round % 64]!.next();
    irq.trigger(round % 64);
    assertEquals(await next, 1);
    await irq.disable();
  }
  assertEquals(files.size, before);
});
