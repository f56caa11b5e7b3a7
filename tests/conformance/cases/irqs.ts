/**
 * Interrupts as the library has them: `VfioDevice.irq`.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Irq, IrqVector, VfioDevice } from "../../../mod.ts";
import { EFD_NONBLOCK } from "../../../lib/uapi/linux/eventfd.ts";
import { failure, refused } from "../../failures.ts";
import { forEachBackend, type Setup } from "../setup.ts";

const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

/** An `edu` that may send messages, and its interrupt. */
async function edu(setup: Setup) {
  const device = await setup.attach("edu0");
  device.setBusMaster(true);
  const registers = device.region(0).map();
  return {
    device,
    raise: (reasons = 1) => registers.write32(RAISE, reasons),
    acknowledge: (reasons = 1) => registers.write32(ACKNOWLEDGE, reasons),
  };
}

/** MSI-X of a function, the first `count` vectors enabled. */
async function msix(setup: Setup, count: number) {
  const device = await setup.attach("nvme0");
  const irq = device.irq("msix");
  return { device, irq, vectors: await irq.enable(count) };
}

const once = new Uint8Array(BigUint64Array.of(1n).buffer);

/** Waits for the next count of each vector, in turn. */
async function countsOf(vectors: readonly IrqVector[]): Promise<number[]> {
  const counts: number[] = [];
  for (const vector of vectors) counts.push(await vector.next());
  return counts;
}

/** Asserts that a vector has no count. */
async function assertQuiet(setup: Setup, vector: IrqVector): Promise<void> {
  await setup.bench.settle();
  const stop = new AbortController();
  const next = vector.next(stop);
  await setup.bench.settle();
  stop.abort("quiet");
  assertEquals(await next.catch((reason) => reason), "quiet");
}

forEachBackend(
  "VfioDevice.interrupts has the kinds of interrupt that the device has",
  async (setup) => {
    const described = (device: VfioDevice) =>
      device.interrupts.map(({ index, name, count, ...irq }) =>
        `${index} ${name} ${count}` + traits(irq as Irq)
      );
    const traits = ({ maskable, automasked }: Irq) =>
      `${maskable ? " maskable" : ""}${automasked ? " automasked" : ""}`;
    const { errorOfConventional } = setup.expected;
    const device = await setup.attach("edu0");
    assertEquals(described(device), [
      "0 intx 1",
      "1 msi 1",
      ...errorOfConventional === undefined ? ["3 error 1"] : [],
      "4 request 1",
    ]);
    const { maskable, automasked, resizable, enabled } = device.irq("intx");
    assertEquals([maskable, automasked, resizable, enabled], [
      true,
      true,
      true,
      false,
    ]);
    assertEquals(device.irq("msi").resizable, false);
    assertEquals(device.irq(1), device.irq("msi"));
    const nvme = await setup.attach("nvme0");
    assertEquals(
      nvme.irq("msix").resizable,
      setup.expected.moreVectors === undefined,
    );
  },
);

forEachBackend(
  "VfioDevice.irq() throws when the device has no such interrupts",
  async (setup) => {
    const { device } = await edu(setup);
    failure("NOT_SUPPORTED", () => device.irq("msix"));
    failure("NOT_SUPPORTED", () => device.irq("crw"));
    assertThrows(() => device.irq("msi-x" as "msix"), TypeError, "msix");
    assertThrows(() => device.irq(5), RangeError);
    assertThrows(() => device.irq(-1), RangeError);
    assertThrows(() => device.irq(0.5), RangeError);
    if (setup.expected.errorOfConventional === undefined) return;
    failure("NOT_SUPPORTED", () => device.irq("error"));
    await refused("NOT_SUPPORTED", () => device.errors.next());
  },
);

forEachBackend(
  "Irq.enable() delivers the device's line, which fires again when it is unmasked without being served",
  async (setup) => {
    const { device, raise, acknowledge } = await edu(setup);
    const intx = device.irq("intx");
    const [line] = await intx.enable();
    raise();
    assertEquals(await line!.next(), 1);
    raise(2);
    await assertQuiet(setup, line!);
    intx.unmask();
    assertEquals(await line!.next(), 1);
    acknowledge(3);
    intx.unmask();
    await assertQuiet(setup, line!);
    intx.mask();
    raise();
    await assertQuiet(setup, line!);
    intx.unmask();
    assertEquals(await line!.next(), 1);
    acknowledge();
    await intx.disable();
  },
);

forEachBackend(
  "Irq.unmaskOn() lets an eventfd unmask the line, and another one in its place",
  async (setup) => {
    const { device, raise, acknowledge } = await edu(setup);
    const intx = device.irq("intx");
    const [line] = await intx.enable();
    assertThrows(() => intx.unmaskOn(line!.fd), TypeError);
    const [first, second] = [setup.eventfd(), setup.eventfd()];
    intx.unmaskOn(first.fd);
    intx.unmaskOn(second.fd);
    raise();
    assertEquals(await line!.next(), 1);
    setup.kernel.write(first.fd, once);
    await assertQuiet(setup, line!);
    setup.kernel.write(second.fd, once);
    assertEquals(await line!.next(), 1);
    intx.unmaskOn(undefined);
    acknowledge();
    failure("KERNEL", () => intx.unmaskOn(device.fd));
    await intx.disable();
    failure("NOT_SUPPORTED", () => intx.unmaskOn(first.fd));
  },
);

forEachBackend(
  "Irq.enable() delivers messages, to whoever waits in whichever way",
  async (setup) => {
    const { device, raise, acknowledge } = await edu(setup);
    const [vector] = await device.irq("msi").enable();
    const heard: number[] = [];
    {
      using _ = vector!.listen((count) => heard.push(count));
      const one = vector!.counts();
      const other = vector!.counts();
      const waiting = [one.next(), other.next(), vector!.next()];
      raise();
      assertEquals(await Promise.all(waiting), [
        { value: 1, done: false },
        { value: 1, done: false },
        1,
      ]);
      await one.return!();
      acknowledge();
      raise(2);
      assertEquals((await other.next()).value, 1);
      acknowledge(2);
      await other.return!();
    }
    assertEquals(heard, [1, 1]);
    raise();
    acknowledge();
    await assertArrived(setup, vector!, 1);
  },
);

/** Asserts that nothing took a count but what is asked now. */
async function assertArrived(
  { bench }: Setup,
  vector: IrqVector,
  count: number,
): Promise<void> {
  await bench.settle();
  assertEquals(await vector.next(), count);
}

forEachBackend(
  "IrqVector.next() gives all interrupts of a storm that nobody waited for",
  async (setup) => {
    const { irq, vectors } = await msix(setup, 2);
    for (let i = 0; i < 1000; i++) irq.trigger(1);
    assertEquals(await vectors[1]!.next(), 1000);
    await assertQuiet(setup, vectors[0]!);
  },
);

forEachBackend(
  "Irq.resize() connects further vectors and disconnects them, where the kernel can",
  async (setup) => {
    const { irq, vectors } = await msix(setup, 2);
    const [first] = vectors;
    irq.trigger(0);
    if (irq.resizable) {
      const more = await irq.resize(6);
      assertEquals(more.map(({ index }) => index), [0, 1, 2, 3, 4, 5]);
      assertEquals(more[0], first);
      irq.trigger(5);
      assertEquals(await countsOf([more[0]!, more[5]!]), [1, 1]);
    } else {
      await refused("NOT_SUPPORTED", () => irq.resize(6));
      await first!.next();
    }
    const ended = irq.vectors.at(-1)!;
    const counts = ended.counts();
    const waiting = counts.next();
    assertEquals(await irq.resize(1), [first!]);
    assertEquals(await waiting, { value: undefined, done: true });
    await refused("DETACHED", () => ended.next());
    failure("DETACHED", () => ended.fd);
    failure("NOT_SUPPORTED", () => irq.trigger(1));
    // What was enabled once can be had again.
    const [, second] = await irq.resize(2);
    irq.trigger(1);
    assertEquals(await second!.next(), 1);
    await assertRejects(() => irq.resize(irq.count + 1), RangeError);
    await assertRejects(() => irq.resize(0), RangeError);
  },
);

forEachBackend(
  "Irq.enable() connects only those vectors that it is told to",
  async (setup) => {
    const device = await setup.attach("nvme0");
    const irq = device.irq("msix");
    const some = await irq.enable({ start: 5, count: 3 });
    assertEquals(some.map(({ index }) => index), [5, 6, 7]);
    failure("NOT_SUPPORTED", () => irq.trigger(0));
    irq.trigger(6);
    assertEquals(await some[1]!.next(), 1);
    await irq.connect({ start: 0, count: 7 });
    assertEquals(irq.vectors.length, 8);
    irq.trigger(0);
    irq.trigger(5);
    assertEquals(await countsOf([irq.vectors[0]!, some[0]!]), [1, 1]);
    await irq.disconnect({ start: 1, count: 5 });
    assertEquals(irq.vectors.map(({ index }) => index), [0, 6, 7]);
    assert(!some[0]!.connected);
    await irq.disconnect({ start: 1, count: 3 });
    const range = { start: irq.count - 1, count: 2 };
    await assertRejects(() => irq.connect(range), RangeError);
  },
);

forEachBackend(
  "Irq.enable() says what cannot be had before the kernel is asked",
  async (setup) => {
    const { device } = await edu(setup);
    const [intx, msi] = [device.irq("intx"), device.irq("msi")];
    for (const count of [0, -1, 2, 1.5, NaN]) {
      await assertRejects(() => msi.enable(count), RangeError);
    }
    for (const use of [() => intx.mask(), () => intx.trigger()]) {
      failure("NOT_SUPPORTED", use);
    }
    await refused("NOT_SUPPORTED", () => intx.resize(1));
    await msi.enable();
    const error = await refused("NOT_SUPPORTED", () => intx.enable());
    assertEquals(error.hint, 'disable that before: device.irq("msi").disable');
    await refused("NOT_SUPPORTED", () => msi.enable());
    failure("NOT_SUPPORTED", () => msi.mask());
    failure("NOT_SUPPORTED", () => msi.unmask());
    failure("NOT_SUPPORTED", () => msi.unmaskOn(setup.eventfd().fd));
    assertThrows(() => msi.trigger(1), RangeError);
    await msi.disable();
    await msi.disable();
    await intx.enable();
  },
);

forEachBackend(
  "IrqVector.next() is given up by a signal, and leaves others waiting",
  async (setup) => {
    const { irq, vectors } = await msix(setup, 1);
    const [vector] = vectors;
    const abort = new AbortController();
    const given = vector!.next(abort);
    const counts = vector!.counts(abort);
    const given2 = counts.next();
    const kept = vector!.next();
    abort.abort("enough");
    assertEquals(await given.catch((reason) => reason), "enough");
    assertEquals(await given2.catch((reason) => reason), "enough");
    assertEquals(await counts.next().catch((reason) => reason), "enough");
    assertEquals(await vector!.next(abort).catch((reason) => reason), "enough");
    irq.trigger();
    assertEquals(await kept, 1);
    irq.trigger();
    irq.trigger();
    for await (const count of vector!.counts()) {
      assertEquals(count, 2);
      break;
    }
  },
);

forEachBackend(
  "a reset leaves eventfds connected",
  async (setup) => {
    const { device, irq, vectors } = await msix(setup, 3);
    const waiting = vectors[2]!.next();
    await device.reset();
    irq.trigger(2);
    assertEquals(await waiting, 1);
    assertEquals(vectors.every(({ connected }) => connected), true);
  },
);

forEachBackend(
  "VfioDevice.detach() ends everything that waits for interrupts, while they arrive",
  async (setup) => {
    const { device, irq, vectors } = await msix(setup, 8);
    const counted = vectors.map(async (vector) => {
      let sum = 0;
      for await (const count of vector) sum += count;
      return sum;
    });
    const single = vectors.map((vector) =>
      vector.next().then(() => "a count", ({ code }) => code)
    );
    let heard = 0;
    for (const vector of vectors) vector.listen((count) => heard += count);
    let triggers = 0;
    const storm = setInterval(() => {
      // A device that is being detached refuses it.
      for (let i = 0; i < vectors.length && device.attached; i++) {
        irq.trigger(i);
        triggers++;
      }
    }, 0);
    await vectors[7]!.next();
    const detaching = device.detach();
    const late = vectors[7]!.next().catch(({ code }) => code);
    await detaching;
    clearInterval(storm);
    assertEquals(await late, "DETACHED");
    const sums = await Promise.all(counted);
    assert(heard <= triggers);
    assert(sums.reduce((a, b) => a + b) <= triggers);
    for (const outcome of await Promise.all(single)) {
      assert(["a count", "DETACHED"].includes(outcome), outcome);
    }
    failure("DETACHED", () => vectors[0]!.counts());
    failure("DETACHED", () => vectors[0]!.listen(() => {}));
    failure("DETACHED", () => vectors[0]!.fd);
    await refused("DETACHED", () => irq.enable());
    failure("DETACHED", () => device.interrupts);
  },
);

forEachBackend(
  "VfioDevice.detach() waits for interrupts that are being enabled",
  async (setup) => {
    const device = await setup.attach("nvme0");
    const irq = device.irq("msix");
    const enabling = irq.enable(4);
    const resizing = irq.resize(2).catch(({ code }) => code);
    await Promise.resolve();
    const detaching = device.detach();
    const vectors = await enabling.catch(({ code }) => code);
    await detaching;
    const outcome = await resizing;
    if (vectors === "DETACHED") assertEquals(outcome, "DETACHED");
    else for (const { connected } of vectors) assert(!connected);
    assertEquals(irq.enabled, false);
  },
);

forEachBackend(
  "Irq.enable() and disable() leave nothing behind, however often",
  async (setup) => {
    const device = await setup.attach("nvme0");
    const irq = device.irq("msix");
    const before = setup.descriptors;
    for (let round = 0; round < 10; round++) {
      const vectors = await irq.enable(64);
      const waiting = vectors.map((vector) => vector.next());
      vectors.forEach((_, i) => irq.trigger(i));
      assertEquals(await Promise.all(waiting), Array(64).fill(1));
      await irq.disable();
    }
    assertEquals(setup.descriptors, before);
  },
);

forEachBackend(
  "IrqVector.fd can be handed to others",
  async (setup) => {
    const { irq, vectors } = await msix(setup, 1);
    const [vector] = vectors;
    irq.trigger();
    const bytes = new Uint8Array(8);
    assertEquals(setup.kernel.read(vector!.fd, bytes), 8);
    assertEquals(bytes[0], 1);
    const flags = 3; // F_GETFL
    assert(setup.kernel.fcntl(vector!.fd, flags) & EFD_NONBLOCK);
    // Another one signals it.
    setup.kernel.write(vector!.fd, once);
    assertEquals(await vector!.next(), 1);
  },
);
