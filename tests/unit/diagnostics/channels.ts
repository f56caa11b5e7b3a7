import { assertEquals, assertRejects } from "@std/assert";
import { channels, type TracedEvent } from "../../../lib/diagnostics/mod.ts";
import { apply } from "../../../lib/provision/mod.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { AddressSpace, VfioDevice } from "../../../mod.ts";

const ADDRESS = "0000:01:00.0";

/** Writes down what a channel tells, until it is disposed of. */
function listen(name: keyof typeof channels): Disposable & { log: unknown[] } {
  const log: unknown[] = [];
  const tell = (what: string) => (event: TracedEvent) => {
    const { device, group, backend, iova, bytes } = event;
    log.push({ what, device, group, backend, iova, bytes });
  };
  const subscriber = {
    start: tell("start"),
    end: tell("end"),
    asyncStart() {},
    asyncEnd: tell("asyncEnd"),
    error: tell("error"),
  };
  channels[name].subscribe(subscriber);
  return {
    log,
    [Symbol.dispose]: () => void channels[name].unsubscribe(subscriber),
  };
}

function setUp() {
  const host = simulate({
    functions: { [ADDRESS]: { model: "edu", driver: "vfio-pci", group: 4 } },
  });
  return new AddressSpace({ host });
}

const NOTHING = { iova: undefined, bytes: undefined };
const EDU = { device: ADDRESS, group: "4" };

Deno.test("channels.attach and channels.detach tell the device, its group and its backend", async () => {
  using attach = listen("attach");
  using detach = listen("detach");
  await using space = setUp();
  const device = await VfioDevice.attach(ADDRESS, space);
  await device.detach();
  await device.detach();
  const before = { ...EDU, ...NOTHING, backend: undefined };
  assertEquals(attach.log, [
    { what: "start", ...before },
    { what: "end", ...before },
    { what: "asyncEnd", ...before, backend: "iommufd" },
  ]);
  assertEquals(detach.log, [
    { what: "start", ...before },
    { what: "end", ...before },
    { what: "asyncEnd", ...before },
  ]);
});

Deno.test("channels.attach tells of an attach that fails", async () => {
  await using space = setUp();
  await using _ = await VfioDevice.attach(ADDRESS, space);
  using attach = listen("attach");
  await assertRejects(() => VfioDevice.attach(ADDRESS, space));
  const event = { ...EDU, ...NOTHING, backend: undefined };
  assertEquals(attach.log.map((entry) => (entry as { what: string }).what), [
    "start",
    "end",
    "error",
    "asyncEnd",
  ]);
  assertEquals(attach.log[2], { what: "error", ...event });
});

Deno.test("channels.take tells the device and its group, also where it fails", async () => {
  using take = listen("take");
  const host = simulate({
    functions: { [ADDRESS]: { model: "edu", driver: "edu", group: 4 } },
  });
  const taken = await host.take(ADDRESS);
  await assertRejects(() => host.take(taken.device, { driver: "none" }));
  assertEquals(
    take.log.map((entry) => (entry as { what: string }).what),
    ["start", "end", "asyncEnd", "start", "end", "error", "asyncEnd"],
  );
  const event = { ...EDU, ...NOTHING, backend: undefined };
  assertEquals(take.log.at(-1), { what: "asyncEnd", ...event });
});

Deno.test("channels.map tells of a mapping where it is, and how large", async () => {
  using map = listen("map");
  await using space = setUp();
  const memory = space.allocate(8192);
  const mapping = await space.mapAsync(memory);
  const nobody = { device: undefined, group: undefined, backend: undefined };
  const before = { ...nobody, iova: undefined, bytes: 8192 };
  assertEquals(map.log, [
    { what: "start", ...before },
    { what: "end", ...before, iova: memory.iova },
    { what: "start", ...before },
    { what: "end", ...before },
    { what: "asyncEnd", ...before, iova: mapping.iova },
  ]);
});

Deno.test("channels.apply tells how many functions a state concerns", async () => {
  const told: TracedEvent[] = [];
  const subscriber = {
    start: (event: TracedEvent) => void told.push(event),
    end() {},
    asyncStart() {},
    asyncEnd() {},
    error() {},
  };
  channels.apply.subscribe(subscriber);
  const host = simulate({
    functions: { [ADDRESS]: { id: "8086:10d3", driver: "e1000e", group: 4 } },
  });
  const applied = await apply(host, {
    functions: [{ select: ADDRESS, driver: "vfio-pci" }],
  });
  await applied.restore();
  channels.apply.unsubscribe(subscriber);
  assertEquals(told.map(({ devices }) => devices), [1]);
});
