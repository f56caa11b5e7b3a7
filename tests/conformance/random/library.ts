/**
 * Operations of the library, which must have the same answers by either
 * backend.
 *
 * @module
 */
import fc from "fast-check";
import { VfioDevice, VfioError } from "../../../mod.ts";
import { PCI_COMMAND } from "../../../lib/uapi/pci/regs.ts";
import { Edu } from "../../vm/guest/edu.ts";
import { PORT_CHOICES, PORT_OPERATIONS } from "./library_port.ts";
import { type At, type LibraryWorld, PAGE } from "./library_world.ts";
import { type FunctionName, FUNCTIONS } from "./world.ts";

/** The operations, by name. */
const OPERATIONS = {
  async attach(world: LibraryWorld, { of, to }: { of: FunctionName; to: At }) {
    const space = world.spaces[to]!;
    const device = await VfioDevice.attach(world.address(of), space);
    world.devices.set(of, device);
    return device.name;
  },
  async detach(world: LibraryWorld, { of }: { of: FunctionName }) {
    await world.devices.get(of)?.detach();
  },
  renew: (world: LibraryWorld, { at }: { at: At }) => world.renew(at),
  allocate(
    world: LibraryWorld,
    { from, at, size, iova }: {
      from: At;
      at: At;
      size: number;
      iova: bigint | undefined;
    },
  ) {
    const memory = world.spaces[from]!.allocate(
      size,
      iova === undefined ? {} : { iova },
    );
    world.memories[at] = memory;
    return [memory.iova, memory.size];
  },
  map(
    world: LibraryWorld,
    { pages, to, at, iova, writable }: {
      pages: number;
      to: At;
      at: At;
      iova: bigint | undefined;
      writable: boolean;
    },
  ) {
    const { address } = world.memory;
    const where = iova === undefined ? {} : { iova };
    const mapping = world.spaces[to]!
      .unsafeMap({ address, size: pages * PAGE }, { ...where, writable });
    world.mappings[at] = mapping;
    return mapping.iova;
  },
  mapFile(
    world: LibraryWorld,
    { to, at, page, iova }: {
      to: At;
      at: At;
      page: At;
      iova: bigint | undefined;
    },
  ) {
    const where = iova === undefined ? {} : { iova };
    const part = { offset: page * PAGE, size: PAGE };
    const mapping = world.spaces[to]!
      .mapFile(world.file, { ...part, ...where });
    world.mappings[at] = mapping;
    return mapping.iova;
  },
  copyMapping(
    world: LibraryWorld,
    { from, to, at }: { from: At; to: At; at: At },
  ) {
    const original = world.mappings[from];
    if (original === undefined) return "nothing";
    const mapping = world.spaces[to]!.copy(original);
    world.mappings[at] = mapping;
    return [mapping.iova, mapping.bytes, mapping.writable];
  },
  translate(
    world: LibraryWorld,
    { of, iova }: { of: At; iova: bigint },
  ) {
    const found = world.spaces[of]!.translate(iova);
    return found && [found.mapping.iova, found.offset];
  },
  /** Reads how many pages of a memory were written. */
  async dirty(
    world: LibraryWorld,
    { of, at, clear }: { of: At; at: At; clear: boolean },
  ) {
    const { dirty } = world.spaces[of]!;
    if (dirty.by === undefined) await dirty.start();
    const memory = world.memories[at];
    if (memory?.mapped !== true) return "nothing";
    const { dirtyPages, exact } = await dirty.read(memory, { clear });
    return [dirtyPages, exact];
  },
  stopDirty: (world: LibraryWorld, { of }: { of: At }) =>
    world.spaces[of]!.dirty.stop(),
  async unmapDirty(
    world: LibraryWorld,
    { of, at }: { of: At; at: At },
  ) {
    const mapping = world.mappings[at];
    const { dirty } = world.spaces[of]!;
    if (mapping === undefined || dirty.by === undefined) return "nothing";
    const { dirtyPages, exact } = await dirty.unmap(mapping);
    return [dirtyPages, exact];
  },
  free: (world: LibraryWorld, { at }: { at: At }) => world.memories[at]?.free(),
  unmap: (world: LibraryWorld, { at }: { at: At }) =>
    world.mappings[at]?.unmap(),
  unmapAt: (world: LibraryWorld, { from, iova }: { from: At; iova: bigint }) =>
    world.spaces[from]!.unmap(iova),
  unmapAll: (world: LibraryWorld, { from }: { from: At }) =>
    world.spaces[from]!.unmapAll(),
  limits(world: LibraryWorld, { of }: { of: At }) {
    const { ranges, alignment, memoryLock } = world.spaces[of]!.limits();
    return { ranges, alignment, memoryLock };
  },
  /** Copies the beginning of one memory over that of the other. */
  async copy(
    world: LibraryWorld,
    { of, from, to }: { of: FunctionName; from: At; to: At },
  ) {
    const device = world.devices.get(of);
    const source = world.memories[from];
    const target = world.memories[to];
    if (!device || !source || !target) return "nothing";
    source.bytes.fill(0xa5, 0, 64);
    target.bytes.fill(0x11, 64, 128);
    const edu = new Edu(device);
    await edu.copy(source.iova, target.iova + 64n, 64);
    return [...target.bytes.subarray(64, 128)];
  },
  command: (world: LibraryWorld, { of }: { of: FunctionName }) =>
    world.devices.get(of)?.config.read16(PCI_COMMAND),
  setBusMaster: (
    world: LibraryWorld,
    { of, enabled }: { of: FunctionName; enabled: boolean },
  ) => world.devices.get(of)?.setBusMaster(enabled),
  echo(
    world: LibraryWorld,
    { of, value }: { of: FunctionName; value: number },
  ) {
    const device = world.devices.get(of);
    return device === undefined ? "nothing" : new Edu(device).echo(value);
  },
  /** Enables an interrupt, unless it is enabled, and fires it. */
  async interrupt(
    world: LibraryWorld,
    { of, kind }: { of: FunctionName; kind: "intx" | "msi" },
  ) {
    const irq = world.devices.get(of)?.irq(kind);
    if (irq === undefined) return "nothing";
    if (!irq.enabled) await irq.enable();
    irq.trigger();
    return await irq.vectors[0]!.next();
  },
  disableInterrupt: (
    world: LibraryWorld,
    { of, kind }: { of: FunctionName; kind: "intx" | "msi" },
  ) => world.devices.get(of)?.irq(kind).disable(),
  features: async (world: LibraryWorld, { of }: { of: FunctionName }) =>
    (await world.devices.get(of)?.features())?.list(),
  affectedByHotReset: (world: LibraryWorld, { of }: { of: FunctionName }) =>
    world.devices.get(of)?.hotReset.affected(),
  reset: (world: LibraryWorld, { of }: { of: FunctionName }) =>
    world.devices.get(of)?.reset(),
  ...PORT_OPERATIONS,
} as const;

type Name = keyof typeof OPERATIONS;
type ArgumentsOf<N extends Name> = Parameters<typeof OPERATIONS[N]>[1];

/** An operation and its arguments. */
export type LibraryOperation = {
  [N in Name]: readonly [name: N, args: ArgumentsOf<N>];
}[Name];

/**
 * Carries out an operation.
 *
 * @param world The world that it works with.
 * @param operation The operation.
 * @returns Its result, or the code of its error.
 */
export async function performInLibrary(
  world: LibraryWorld,
  [name, args]: LibraryOperation,
): Promise<unknown> {
  const run = OPERATIONS[name] as (
    world: LibraryWorld,
    args: unknown,
  ) => unknown;
  try {
    return await run(world, args);
  } catch (error) {
    if (error instanceof VfioError) return error.code;
    throw error;
  }
}

const at = fc.constantFrom<At>(0, 0, 1);
const of = fc.constantFrom(...FUNCTIONS);
const kind = fc.constantFrom("intx" as const, "msi" as const);
const iova = fc.constantFrom(
  0x10_0000n,
  0x10_1000n,
  0x10_3000n,
  0xfee0_0000n,
  0xfedf_f000n,
  1n << 48n,
  0n,
);
const place = fc.option(iova, { nil: undefined, freq: 2 });

/** The arguments of each operation, and how often it is chosen. */
const CHOICES: {
  readonly [N in Name]: readonly [
    weight: number,
    args: { [P in keyof ArgumentsOf<N>]: fc.Arbitrary<ArgumentsOf<N>[P]> },
  ];
} = {
  attach: [6, { of, to: at }],
  detach: [2, { of }],
  renew: [1, { at }],
  mapFile: [2, { to: at, at, page: fc.constantFrom<At>(0, 1), iova: place }],
  copyMapping: [2, { from: at, to: at, at }],
  translate: [1, { of: at, iova }],
  dirty: [2, { of: at, at, clear: fc.boolean() }],
  stopDirty: [1, { of: at }],
  unmapDirty: [1, { of: at, at }],
  allocate: [4, {
    from: at,
    at,
    size: fc.constantFrom(PAGE, 2 * PAGE, 1, 5 * PAGE),
    iova: place,
  }],
  map: [4, {
    // Only memory that stays: of two errors at once, each backend reports
    // another.
    pages: fc.constantFrom(1, 2),
    to: at,
    at,
    iova: place,
    writable: fc.boolean(),
  }],
  free: [1, { at }],
  unmap: [2, { at }],
  unmapAt: [1, { from: at, iova }],
  unmapAll: [1, { from: at }],
  limits: [1, { of: at }],
  copy: [3, { of, from: at, to: at }],
  command: [1, { of }],
  setBusMaster: [1, { of, enabled: fc.boolean() }],
  echo: [2, { of, value: fc.constantFrom(0, 1, 0xffff_ffff) }],
  interrupt: [2, { of, kind }],
  disableInterrupt: [1, { of, kind }],
  features: [1, { of }],
  affectedByHotReset: [1, { of }],
  reset: [1, { of }],
  ...PORT_CHOICES,
};

/** Sequences of 20 to 60 operations. */
export const librarySequences: fc.Arbitrary<readonly LibraryOperation[]> = fc
  .array(
    fc.oneof(
      ...Object.entries(CHOICES).map(([name, [weight, args]]) => ({
        weight,
        arbitrary: fc.record(args as Record<string, fc.Arbitrary<unknown>>, {
          noNullPrototype: true,
        }).map((args) => [name, args] as unknown as LibraryOperation),
      })),
    ),
    { minLength: 20, maxLength: 60 },
  );
