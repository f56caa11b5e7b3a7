import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { type Migration, type SaveProgress, VfioDevice } from "../../../mod.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { refused } from "../../failures.ts";
import { Hang } from "../../kernels/fault.ts";
import { bytesOf, MOVABLE, movable, SCRATCHPAD } from "./movable.ts";

Deno.test("device.migration is undefined where the driver cannot move a device", async () => {
  await using setup = await movable();
  assertEquals(await setup.fixed.migration(), undefined);
  assertStrictEquals(await setup.one.migration(), setup.source);
  const { source } = setup;
  assertEquals([source.p2p, source.precopy], [true, true]);
  assertEquals(await source.state(), "running");
  assertEquals(await source.dataSize(), 61_540);
  await using old = await movable(undefined, "6.1.0");
  assertEquals(await old.source.dataSize(), undefined);
});

Deno.test("moveTo() goes by way of the states in between", async () => {
  await using setup = await movable();
  const { source } = setup;
  for (
    const state of [
      "stop",
      "running-p2p",
      "pre-copy",
      "stop-copy",
      "running",
      "resuming",
      "running",
    ] as const
  ) {
    if (state === "running" && await source.state() === "resuming") {
      // It has no state to run with, and stays where it was.
      await refused("MIGRATION_FAILED", () => source.moveTo(state));
      assertEquals(await source.state(), "resuming");
      await source.recover();
    } else await source.moveTo(state);
    assertEquals(await source.state(), state);
    await source.moveTo(state);
  }
  await source.moveTo("stop-copy");
  await refused("MIGRATION_FAILED", () => source.moveTo("pre-copy"));
  assertEquals(await source.state(), "stop-copy");
  await assertRejects(() => source.moveTo("error"), TypeError);
  await assertRejects(() => source.moveTo("paused" as never), TypeError);
});

Deno.test("save() and load() move a device's state", async () => {
  await using setup = await movable();
  const { one, other, source, target } = setup;
  one.region(0).write32(SCRATCHPAD.memory, 0x1234_5678);
  one.region(0).write32(SCRATCHPAD.settings, 9);
  await source.save({ chunkSize: 100 }).pipeTo(target.load());
  assertEquals(await source.state(), "stop");
  assertEquals(await target.state(), "running");
  assertEquals(other.region(0).read32(SCRATCHPAD.memory), 0x1234_5678);
  assertEquals(other.region(0).read32(SCRATCHPAD.settings), 9);
  // The same bytes again, as nothing has changed.
  assertEquals(
    await bytesOf(source.save()),
    await bytesOf(target.save()),
  );
  await using file = await movable();
  await new Response((await bytesOf(source.save())) as BodyInit).body!
    .pipeTo(file.source.load({ run: false }));
  assertEquals(await file.source.state(), "stop");
  assertEquals(file.one.region(0).read32(SCRATCHPAD.memory), 0x1234_5678);
});

Deno.test("save() with precopy lets the device run, and takes what changed", async () => {
  await using setup = await movable();
  const { one, other, source, target } = setup;
  const registers = one.region(0);
  registers.write32(SCRATCHPAD.memory, 1);
  const told: SaveProgress[] = [];
  const stream = source.save({
    precopy: true,
    chunkSize: 4096,
    onProgress: (progress) => {
      told.push(progress);
      if (told.length === 1) registers.write32(SCRATCHPAD.memory + 8192, 2);
      if (told.length === 2) registers.write32(SCRATCHPAD.settings, 3);
    },
  });
  assertEquals(await source.state(), "running");
  await stream.pipeTo(target.load());
  assertEquals(told[0], {
    bytes: 36,
    stopped: false,
    left: { initialBytes: 36, dirtyBytes: 4096, reinitialized: false },
  });
  assert(told.some(({ left }) => left?.reinitialized));
  assertEquals(told.at(-1)!.stopped, true);
  assertEquals(other.region(0).read32(SCRATCHPAD.memory), 1);
  assertEquals(other.region(0).read32(SCRATCHPAD.memory + 8192), 2);
  assertEquals(other.region(0).read32(SCRATCHPAD.settings), 3);
});

Deno.test("save() with precopy stops the device when it is told to", async () => {
  await using setup = await movable();
  const { source } = setup;
  let asked = 0;
  // The device has nothing for now long before that.
  await bytesOf(source.save({ precopy: true, stopWhen: () => ++asked === 5 }));
  assertEquals(asked, 5);
  assertEquals(await source.state(), "stop");
  // A stopped device does not run again for it.
  await bytesOf(source.save({ precopy: true, stopWhen: () => ++asked === 0 }));
  assertEquals(asked, 5);
});

Deno.test("a save that is given up leaves the device running", async () => {
  await using setup = await movable();
  const { source } = setup;
  for (const precopy of [false, true]) {
    const reader = source.save({ precopy, chunkSize: 10 }).getReader();
    assertEquals(await source.state(), "running");
    await reader.read();
    assertEquals(await source.state(), precopy ? "pre-copy" : "stop-copy");
    await refused("DEVICE_BUSY", () => source.save().getReader().read());
    await reader.cancel();
    assertEquals(await source.state(), "running");

    const abort = new AbortController();
    const { signal } = abort;
    const aborted = source.save({ precopy, chunkSize: 10, signal }).getReader();
    await aborted.read();
    const reason = new Error("enough");
    // Nobody reads it meanwhile.
    abort.abort(reason);
    await aborted.closed.catch(() => {});
    assertEquals(await assertRejects(() => aborted.read()), reason);
    await source.recover();
    assertEquals(await source.state(), "running");
  }
  await bytesOf(source.save());
});

Deno.test("a load that is given up resets the device, and leaves it running", async () => {
  await using setup = await movable();
  const { source, target, other } = setup;
  const state = await bytesOf(source.save());
  for (
    const end of [
      (writer: WritableStreamDefaultWriter) => writer.abort("enough"),
      // Too short.
      (writer: WritableStreamDefaultWriter) =>
        refused("MIGRATION_FAILED", () => writer.close()),
    ]
  ) {
    other.region(0).write32(SCRATCHPAD.memory, 5);
    const writer = target.load().getWriter();
    await writer.write(state.subarray(0, 20));
    assertEquals(await target.state(), "resuming");
    await end(writer);
    assertEquals(await target.state(), "running");
    assertEquals(other.region(0).read32(SCRATCHPAD.memory), 0);
  }
  const wrong = target.load().getWriter();
  wrong.closed.catch(() => {});
  await refused("MIGRATION_FAILED", () => wrong.write(new Uint8Array(8)));
  assertEquals(await target.state(), "running");

  const abort = new AbortController();
  const aborted = target.load({ signal: abort.signal }).getWriter();
  await aborted.write(state.subarray(0, 20));
  abort.abort();
  await aborted.closed.catch(() => {});
  await target.recover();
  assertEquals(await target.state(), "running");
});

Deno.test("a move that fails half way leaves the device where it was", async () => {
  let failing: number | undefined;
  await using setup = await movable((kernel) =>
    intercept(kernel, (call, proceed) => {
      const { method, args } = call;
      const argument = args[2] as Uint8Array | undefined;
      const sets = method === "ioctlAsync" && argument?.length === 16 &&
        argument[6] === 2;
      if (!sets || argument[8] !== failing) return proceed();
      // The device gets half the way.
      failing = undefined;
      argument[8] = 1;
      return Promise.resolve(proceed()).then(() =>
        Promise.reject(new KernelError(errnoNumber("EIO"), "ioctl"))
      );
    })
  );
  const { source } = setup;
  failing = 3;
  const error = await refused(
    "MIGRATION_FAILED",
    () => source.moveTo("stop-copy"),
  );
  assertEquals(
    error.problem,
    "cannot move it from running to stop-copy, and it is in the state " +
      "running: ioctl: EIO (Input/output error)",
  );
  assertEquals(await source.state(), "running");
});

Deno.test("saveWith() quiets all devices before it stops the first", async () => {
  const sets: string[] = [];
  await using setup = await movable((kernel) =>
    intercept(kernel, ({ method, args }, proceed) => {
      const argument = args[2] as Uint8Array | undefined;
      if (
        method === "ioctlAsync" && argument?.length === 16 && argument[6] === 2
      ) sets.push(`${argument[8]}`);
      return proceed();
    })
  );
  const both = [setup.source, setup.target];
  for (const precopy of [false, true]) {
    const streams = setup.source.saveWith([setup.target], { precopy });
    // One after the other: the second is read when the first one is over.
    for (const stream of streams) assert((await bytesOf(stream)).length > 0);
    const begin = precopy ? ["6"] : [];
    // 5 and 7 are without DMA to others, 3 is stop-copy, 1 is stop.
    const quiet = precopy ? ["7", "5"] : ["5", "5"];
    assertEquals(sets, [...begin, ...quiet, "3", "3", "1", "1"]);
    for (const each of both) await each.moveTo("running");
    sets.length = 0;
  }
  const [first, second] = setup.source.saveWith([setup.target]).map((each) =>
    each.getReader()
  );
  await first!.read();
  await second!.read();
  const states = () => Promise.all(both.map((each) => each.state()));
  assertEquals(await states(), ["stop-copy", "stop-copy"]);
  await second!.cancel();
  assertEquals(await states(), ["running", "running"]);
  await refused("MIGRATION_FAILED", () => first!.read());
  assertThrows(() => setup.source.save({ chunkSize: 0 }), RangeError);
});

Deno.test("detach() waits for a move or a sleep that is under way, and leaves no descriptor", async () => {
  let hang: Hang | undefined;
  await using setup = await movable((kernel) =>
    intercept(
      kernel,
      ({ method, args }, proceed) =>
        hang !== undefined && method === "ioctlAsync" &&
          (args[2] as Uint8Array)[6] === 2
          ? hang.hold().then(proceed)
          : proceed(),
    )
  );
  const { host, source, one, other } = setup;
  const files = () =>
    (host.kernel as unknown as { files: Map<number, unknown> }).files.size;
  const before = files();
  for (
    const [device, begin] of [
      [one, () => source.moveTo("pre-copy")],
      [
        other,
        async () => {
          const features = await other.features();
          await features.sleep({ wakeup: true });
        },
      ],
    ] as const
  ) {
    hang = new Hang();
    const begun = begin().catch(() => {});
    await hang.reached;
    const detached = device.detach();
    await Promise.resolve();
    hang.release();
    hang = undefined;
    await Promise.all([begun, detached]);
  }
  // Those of the two devices are gone too.
  assertEquals(before - files(), 2);
});

Deno.test("detach() in the middle of a migration ends it, and leaves no descriptor", async () => {
  await using setup = await movable();
  const { host, source, target, one, other, space } = setup;
  const files = () =>
    [...(host.kernel as unknown as {
      files: Map<number, { linkText: string }>;
    }).files.values()].filter(({ linkText }) => linkText.includes("mig"))
      .length;
  const reader = source.save({ chunkSize: 10 }).getReader();
  await reader.read();
  const writer = target.load().getWriter();
  await writer.write(Uint8Array.of(0x73));
  assertEquals(files(), 2);
  await one.detach();
  await other.detach();
  assertEquals(files(), 0);
  await refused("DETACHED", () => reader.read());
  writer.closed.catch(() => {});
  await refused("DETACHED", () => writer.write(new Uint8Array(1)));
  await refused("DETACHED", () => source.state());
  const again = await VfioDevice.attach(MOVABLE[0], space);
  assertEquals(await (await again.migration())!.state(), "running");
});

Deno.test("a reset by somebody else ends a migration", async () => {
  await using setup = await movable();
  const reader = setup.source.save({ chunkSize: 10 }).getReader();
  await reader.read();
  await setup.one.reset();
  await refused("MIGRATION_FAILED", () => reader.read());
  assertEquals(await setup.source.state(), "running");
  await bytesOf(setup.source.save());
});

Deno.test("a move from a state that another process left has the device run first", async () => {
  await using setup = await movable();
  const { source, one, host } = setup;
  /** Puts the device into a state behind the library's back. */
  const leave = async (migration: Migration, state: number) => {
    const argument = new Uint8Array([16, 0, 0, 0, 2, 0, 2, 0, state, 0, 0, 0]);
    const whole = new Uint8Array(16);
    whole.set(argument);
    const name = "VFIO_DEVICE_FEATURE";
    const operation = { name, request: 0x3b75, argument: "none" } as const;
    await host.kernel.ioctlAsync(one.fd, operation, whole);
    host.kernel.close(new DataView(whole.buffer).getInt32(12, true));
    assertEquals(await migration.state() !== "running", true);
  };
  await leave(source, 4);
  await source.moveTo("running");
  assertEquals(await source.state(), "running");
  await leave(source, 3);
  assert((await bytesOf(source.save())).length > 0);
});
