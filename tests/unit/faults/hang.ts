/**
 * Every kernel call that can hang does so in turn.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { VfioError } from "../../../mod.ts";
import { faulty, Hang } from "../../kernels/fault.ts";
import {
  A,
  B,
  Bench,
  type Operation,
  OVERRIDDEN,
  rehearse,
  SPARE,
  textOf,
  UNBOUND,
  type Wanted,
  World,
} from "./bench.ts";
import {
  attach,
  returns,
  takes,
  withMappings,
  withRegisters,
} from "./operations.ts";

/** The time limit of an operation whose call hangs, in milliseconds. */
const LIMIT = 30;

/** A world in which a call hangs. */
interface Hanging {
  readonly bench: Bench;
  readonly world: World;
  readonly hang: Hang;
}

/** Makes a test in which each call that can hang does so. */
function hangEachCall<T>(
  name: string,
  operation: Operation<T>,
  check: (hanging: Hanging, prepared: T) => Promise<void>,
): void {
  for (const backend of operation.backends ?? ["legacy", "iommufd"]) {
    Deno.test(`${backend}: ${name}`, async () => {
      const { skipped, calls } = await rehearse(operation, backend);
      const able = [...calls.entries()]
        .filter(([_, { method }]) => method.endsWith("Async"));
      assert(able.length > 0, "none of its calls can hang");
      // All cases at once, as they mostly wait.
      await Promise.all(
        able.map(([i, call]) =>
          withHang(operation, backend, skipped + i + 1, check)
            .catch((cause) => {
              throw new Error(`${textOf(call)} hung`, { cause });
            })
        ),
      );
    });
  }
}

async function withHang<T>(
  { prepare }: Operation<T>,
  backend: Wanted,
  nth: number,
  check: (hanging: Hanging, prepared: T) => Promise<void>,
): Promise<void> {
  const bench = new Bench();
  const initial = bench.state();
  const hang = new Hang();
  const world = new World(faulty(bench.process, { nth, hang }).kernel, backend);
  const prepared = await prepare(world);
  await check({ bench, world, hang }, prepared);
  await world.end();
  assertEquals(bench.state(), initial);
}

/** Asserts that an operation ends at its time limit. */
async function assertTimedOut(operation: Promise<unknown>): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(() => operation, VfioError);
  assertEquals(error.code, "TIMED_OUT", error.message);
  assertEquals(performance.now() - start, LIMIT);
}

/** Waits until the library has restored a state. */
async function waitForState(bench: Bench, state: unknown): Promise<void> {
  const end = performance.now() + 2000;
  const wanted = JSON.stringify(state);
  while (JSON.stringify(bench.state()) !== wanted && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assertEquals(bench.state(), state);
}

for (const address of [SPARE, UNBOUND, OVERRIDDEN]) {
  hangEachCall(
    `Host.take() of ${address} throws TIMED_OUT when a call hangs, and is undone afterwards`,
    takes(address),
    async ({ bench, world, hang }) => {
      const before = bench.state();
      await assertTimedOut(world.host.take(address, { timeout: LIMIT }));
      // The kernel holds the device's lock, so others must wait.
      await assertTimedOut(world.host.take(address, { timeout: LIMIT }));
      hang.release();
      await waitForState(bench, before);
      world.taken = await world.host.take(address);
    },
  );

  hangEachCall(
    `giveBack() of ${address} throws TIMED_OUT when a call hangs, and completes afterwards`,
    returns(address),
    async ({ bench, world, hang }) => {
      await assertTimedOut(world.taken!.giveBack({ timeout: LIMIT }));
      hang.release();
      await waitForState(bench, new Bench().state());
    },
  );
}

hangEachCall(
  "VfioDevice.attach() completes when a hanging call does, and lets others work meanwhile",
  attach,
  async ({ bench, world, hang }) => {
    const attaching = world.attach(A);
    await hang.reached;
    const memory = world.space.allocate(4096, { iova: 0x50_0000n });
    const other = new World(bench.process, "auto");
    await other.attach(B);
    await other.end();
    memory.free();
    hang.release();
    assertEquals((await attaching).config.read16(0), 0x1234);
  },
);

hangEachCall(
  "VfioDevice.attach() leaves nothing behind when the space was closed meanwhile",
  attach,
  async ({ world, hang }) => {
    const attaching = world.attach(A);
    await hang.reached;
    const closing = world.space.close();
    hang.release();
    const error = await assertRejects(() => attaching, VfioError);
    assertEquals(error.code, "DETACHED", error.message);
    await closing;
  },
);

hangEachCall(
  "VfioDevice.detach() completes when a hanging call does",
  {
    async prepare(world) {
      withMappings(world);
      return await withRegisters(world, A);
    },
    act: (_, { device }) => device.detach(),
  },
  async ({ bench, hang }, { device }) => {
    const detaching = device.detach();
    await hang.reached;
    assertEquals(device.attached, false);
    hang.release();
    await detaching;
    assertEquals(bench.state().files, []);
  },
);
