/**
 * A campaign against the core: operations of two address spaces and four
 * devices in random order and at once, while calls of the kernel fail, hang for
 * a while, and end in another order. Nothing may be left, and every error has a
 * documented code.
 *
 * @module
 */
import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import {
  AddressSpace,
  type BackendName,
  type DmaMapping,
  type DmaMemory,
  Host,
  type Irq,
  VfioDevice,
  VfioError,
} from "../../mod.ts";
import { intercept } from "../../lib/kernel/intercept.ts";
import { simulate } from "../../lib/sim/mod.ts";
import { type Disturbance, Disturber } from "./disturber.ts";

/** The second device can migrate. */
const MOVABLE = {
  model: "scratchpad",
  driver: "mlx5_vfio_pci",
  reset: ["flr"],
} as const;

const EDU = {
  model: "edu",
  driver: "vfio-pci",
  reset: ["flr", "pm"],
} as const;

/** Methods of a reset, one of which the devices lack. */
const METHODS = ["flr", "pm", "bus", "flr"] as const;

/** Two devices of their own groups, and two of one. */
const ADDRESSES = [
  "0000:01:00.0",
  "0000:02:00.0",
  "0000:03:00.0",
  "0000:03:00.1",
] as const;

const PAGE = 4096;

/** An operation, on one of four devices and of two spaces. */
export interface Action {
  readonly what: keyof typeof ACTIONS;
  readonly device: 0 | 1 | 2 | 3;
  readonly space: 0 | 1;
  /** Whether the next one begins before this one is over. */
  readonly atOnce: boolean;
}

/** A part of a round. */
export type Event = Action | Disturbance;

const WHATS = [
  "attach",
  "detach",
  "reset",
  "resetByMethod",
  "hotReset",
  "allocate",
  "free",
  "map",
  "unmap",
  "unmapAll",
  "mapFile",
  "copy",
  "move",
  "startDirty",
  "readDirty",
  "unmapDirty",
  "stopDirty",
  "registers",
  "enable",
  "disable",
  "interrupt",
  "iterate",
  "save",
  "load",
  "sleep",
  "limits",
  "close",
] as const;

/** Rounds of a campaign. */
export const ROUNDS: fc.Arbitrary<readonly Event[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record<Action>({
        what: fc.constantFrom(
          ...WHATS,
          "attach",
          "attach",
          "allocate",
          "enable",
        ),
        device: fc.constantFrom(0, 1, 2, 3),
        space: fc.constantFrom(0, 1),
        atOnce: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record<Disturbance>({
        after: fc.nat(40),
        delay: fc.nat(60),
        errno: fc.option(fc.nat(30), { nil: undefined }),
      }),
    },
  ),
  { minLength: 4, maxLength: 40 },
);

/** What a round works on. */
class World {
  readonly #backend: BackendName | "auto";
  readonly #host: Host;
  readonly spaces: [AddressSpace, AddressSpace];
  readonly devices: VfioDevice[] = [];
  readonly memories: DmaMemory[] = [];
  readonly mappings: DmaMapping[] = [];
  /** Iterations over interrupts, which end when the devices are detached. */
  readonly iterations: Promise<void>[] = [];
  /** All spaces that there were. */
  readonly all: AddressSpace[] = [];

  constructor(host: Host, backend: BackendName | "auto") {
    this.#host = host;
    this.#backend = backend;
    this.spaces = [this.newSpace(), this.newSpace()];
  }

  newSpace(): AddressSpace {
    const options = { host: this.#host, backend: this.#backend };
    const space = new AddressSpace(options);
    this.all.push(space);
    return space;
  }
}

/** What an action does. */
const ACTIONS = {
  async attach(world: World, { device, space }: Action) {
    const attached = await VfioDevice.attach(
      ADDRESSES[device],
      world.spaces[space],
    );
    world.devices.push(attached);
  },
  detach: (world: World, { device }: Action) =>
    pick(world.devices, device)?.detach(),
  reset: (world: World, { device }: Action) =>
    pick(world.devices, device)?.reset(),
  resetByMethod: (world: World, { device }: Action) =>
    pick(world.devices, device)?.reset({ method: METHODS[device]! }),
  hotReset: (world: World, { device }: Action) =>
    pick(world.devices, device)?.hotReset.reset(),
  allocate(world: World, { device, space }: Action) {
    const memfd = device === 2;
    world.memories.push(
      world.spaces[space].allocate((device + 1) * PAGE, { memfd }),
    );
  },
  free: (world: World, { device }: Action) =>
    pick(world.memories, device)?.free(),
  map(world: World, { device, space }: Action) {
    const memory = pick(world.memories, device);
    if (memory !== undefined) {
      world.mappings.push(world.spaces[space].map(memory));
    }
  },
  unmap: (world: World, { device }: Action) =>
    pick(world.mappings, device)?.unmap(),
  unmapAll: (world: World, { space }: Action) => world.spaces[space].unmapAll(),
  mapFile(world: World, { device, space }: Action) {
    const { fd } = pick(world.memories, device) ?? {};
    if (fd === undefined) return;
    const part = { offset: PAGE, size: PAGE };
    world.mappings.push(world.spaces[space].mapFile(fd, part));
  },
  copy(world: World, { device, space }: Action) {
    const mapping = pick(world.mappings, device);
    if (mapping === undefined) return;
    world.mappings.push(world.spaces[space].copy(mapping));
  },
  move(world: World, { space }: Action) {
    const moving = world.spaces[space];
    try {
      moving.dropAddresses();
    } finally {
      moving.updateAddresses();
    }
  },
  startDirty: (world: World, { device, space }: Action) =>
    unlessMisused(
      world.spaces[space].dirty
        .start(device === 0 ? { by: "iommu" } : undefined),
    ),
  async readDirty(world: World, { device, space }: Action) {
    const memory = pick(world.memories, device);
    if (memory?.mapped !== true) return;
    const { iova, size } = memory;
    const clear = device > 1;
    const told = await unlessMisused(
      world.spaces[space].dirty.read({ iova, size }, { clear }),
    );
    if (told !== undefined) assertEquals(told.size, BigInt(size));
  },
  async unmapDirty(world: World, { device, space }: Action) {
    const mapping = pick(world.mappings, device);
    if (mapping === undefined) return;
    await unlessMisused(world.spaces[space].dirty.unmap(mapping));
  },
  stopDirty: (world: World, { space }: Action) =>
    world.spaces[space].dirty.stop(),
  registers(world: World, { device }: Action) {
    const attached = pick(world.devices, device);
    if (attached === undefined) return;
    const registers = attached.region(0).map();
    const id = attached.name === ADDRESSES[1] ? 0x5c7a7c4e : 0x010000ed;
    assertEquals(registers.read32(0), id);
  },
  async save(world: World, { device, space }: Action) {
    const migration = await pick(world.devices, device)?.migration();
    if (migration === undefined) return;
    const reader = migration.save({ precopy: space === 1, chunkSize: 16 })
      .getReader();
    await reader.read();
    // Else the rest of it is for whoever detaches the device.
    if (device > 1) await reader.cancel();
  },
  async load(world: World, { device }: Action) {
    const migration = await pick(world.devices, device)?.migration();
    if (migration === undefined) return;
    const writer = migration.load().getWriter();
    await writer.write(Uint8Array.of(0x73));
    if (device > 1) await writer.abort();
  },
  async sleep(world: World, { device, space }: Action) {
    const features = await pick(world.devices, device)?.features();
    await using _ = await features?.sleep({ wakeup: space === 1 });
  },
  enable: (world: World, action: Action) => irqOf(world, action)?.enable(),
  disable: (world: World, action: Action) => irqOf(world, action)?.disable(),
  async interrupt(world: World, action: Action) {
    const irq = irqOf(world, action);
    const [vector] = irq?.vectors ?? [];
    if (vector === undefined) return;
    irq!.trigger();
    assert(await vector.next() > 0);
  },
  iterate(world: World, action: Action) {
    const [vector] = irqOf(world, action)?.vectors ?? [];
    if (vector === undefined) return;
    const counts = vector.counts();
    world.iterations.push((async () => {
      for await (const count of counts) assert(count > 0);
    })());
  },
  limits: (world: World, { space }: Action) =>
    void world.spaces[space].limits(),
  async close(world: World, { space }: Action) {
    const closed = world.spaces[space];
    world.spaces[space] = world.newSpace();
    await closed.close();
  },
} as const satisfies Record<
  typeof WHATS[number],
  (world: World, action: Action) => unknown
>;

/** Interrupts of a device: its line, messages, or requests. */
function irqOf(world: World, { device, space }: Action): Irq | undefined {
  const attached = pick(world.devices, device);
  return attached?.irq(space === 1 ? "msi" : device === 0 ? "request" : "intx");
}

/** Ignores that dirty tracking is on already, or off. */
async function unlessMisused<T>(step: Promise<T>): Promise<T | undefined> {
  try {
    return await step;
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** The last but some of what was made. */
function pick<T>(made: readonly T[], back: number): T | undefined {
  return made.at(-1 - back) ?? made.at(-1);
}

/** Carries out a round; throws when something is left, or an error is none. */
export async function playRound(
  events: readonly Event[],
  backend: BackendName | "auto",
): Promise<void> {
  const simulated = simulate({
    dirtyTracking: true,
    functions: Object.fromEntries(
      ADDRESSES.map((address, i) => [
        address,
        {
          ...i === 1 ? MOVABLE : EDU,
          group: Math.min(i, 2) + 1,
          // The first one is on the root bus of its own.
          ...i > 0 && { behind: "0000:00:1c.0" },
        },
      ]),
    ),
  });
  const process = simulated.kernel as unknown as {
    readonly files: ReadonlyMap<number, unknown>;
    readonly memory: { readonly size: number };
    readonly locked: number;
    readonly pinned: number;
  };
  const held = () => [
    process.files.size,
    process.memory.size,
    process.locked,
    process.pinned,
  ];
  const before = held();
  const disturber = new Disturber(
    events.filter((event) => "after" in event),
    (fd) => process.files.get(fd),
  );
  const kernel = intercept(
    simulated.kernel,
    (call, proceed) => disturber.around(call, proceed),
  );
  const world = new World(new Host({ kernel }), backend);
  const running: Promise<void>[] = [];
  for (const event of events) {
    if (!("what" in event)) continue;
    const done = perform(world, event);
    running.push(done);
    if (!event.atOnce) await done;
  }
  await Promise.all(running);
  disturber.over = true;
  for (const space of world.all) await finish(space);
  await Promise.all(world.iterations);
  assertEquals(disturber.violation, undefined);
  assertEquals(held(), before, "descriptors, mappings, locked, pinned");
  // Everything can be had again.
  await using space = new AddressSpace({ host: new Host({ kernel }), backend });
  const memory = space.allocate(PAGE);
  for (const address of ADDRESSES) {
    const device = await VfioDevice.attach(address, space);
    device.setBusMaster(true);
  }
  memory.free();
}

async function perform(world: World, action: Action): Promise<void> {
  try {
    await ACTIONS[action.what](world, action);
  } catch (error) {
    assertDocumented(error);
  }
}

async function finish(space: AddressSpace): Promise<void> {
  try {
    await space.close();
  } catch (error) {
    assertDocumented(error);
  }
  // A detach that was incomplete is told once more, and no memory stays.
  await space.close().catch(() => {});
}

function assertDocumented(error: unknown): void {
  if (error instanceof VfioError) return;
  throw new Error("an operation failed with an undocumented error", {
    cause: error,
  });
}

/**
 * Writes a round as a script.
 *
 * @param events The round.
 * @param backend The backend.
 */
export function scriptOf(
  events: readonly Event[],
  backend: BackendName | "auto",
): string {
  const lines = events.map((event) => `  ${JSON.stringify(event)},\n`);
  return `import { playRound } from "${import.meta.url}";\n\n` +
    `await playRound([\n${lines.join("")}], ${JSON.stringify(backend)});\n`;
}
