/**
 * Operations of the library on a device that can migrate: the serial port of the
 * kernel's sample `mtty`.
 *
 * @module
 */
import fc from "fast-check";
import {
  type Migration,
  type MigrationState,
  VfioDevice,
} from "../../../mod.ts";
import { UART_SCR } from "../../../lib/uapi/linux/serial_reg.ts";
import type { LibraryWorld } from "./library_world.ts";

/** How much of the port's state is moved. */
type Amount = "all" | "a part" | "a part, and cancelled";

const AMOUNTS = ["all", "all", "a part", "a part, and cancelled"] as const;

/** Smaller than the port's state. */
const CHUNK = 24;

async function migrationOf(
  { port }: LibraryWorld,
): Promise<Migration | undefined> {
  return await port?.migration();
}

/** The operations, by name. */
export const PORT_OPERATIONS = {
  async attachPort(world: LibraryWorld) {
    world.port = await VfioDevice.attach(world.portDevice, world.portSpace);
  },
  detachPort: (world: LibraryWorld) => world.port?.detach(),
  writePort: (world: LibraryWorld, { value }: { value: number }) =>
    world.port?.region(0).write8(UART_SCR, value),
  readPort: (world: LibraryWorld) => world.port?.region(0).read8(UART_SCR),
  portState: async (world: LibraryWorld) =>
    await (await migrationOf(world))?.state(),
  movePort: async (world: LibraryWorld, { to }: { to: MigrationState }) =>
    await (await migrationOf(world))?.moveTo(to),
  recoverPort: async (world: LibraryWorld) =>
    await (await migrationOf(world))?.recover(),
  async save(
    world: LibraryWorld,
    { amount, precopy }: { amount: Amount; precopy: boolean },
  ) {
    const migration = await migrationOf(world);
    if (migration === undefined) return "nothing";
    const stream = migration.save({ precopy, chunkSize: CHUNK });
    if (amount === "all") {
      world.saved = await new Response(stream as BodyInit).bytes();
      return world.saved.toHex();
    }
    const reader = stream.getReader();
    const { value } = await reader.read();
    if (amount === "a part, and cancelled") await reader.cancel();
    return value?.toHex();
  },
  async load(world: LibraryWorld, { amount }: { amount: Amount }) {
    const migration = await migrationOf(world);
    if (migration === undefined || world.saved === undefined) return "nothing";
    const writer = migration.load().getWriter();
    // Its errors are those of the writes.
    writer.closed.catch(() => {});
    if (amount === "all") {
      await writer.write(world.saved);
      return await writer.close();
    }
    await writer.write(world.saved.subarray(0, CHUNK));
    if (amount === "a part, and cancelled") await writer.abort();
  },
} as const;

const STATES = [
  "running",
  "running",
  "running-p2p",
  "stop",
  "stop-copy",
  "pre-copy",
  "pre-copy-p2p",
  "resuming",
] as const;

const amount = fc.constantFrom<Amount>(...AMOUNTS);

/** The arguments of each operation, and how often it is chosen. */
export const PORT_CHOICES = {
  attachPort: [3, {}],
  detachPort: [1, {}],
  writePort: [1, { value: fc.constantFrom(0x5a, 0xa5) }],
  readPort: [1, {}],
  portState: [1, {}],
  movePort: [2, { to: fc.constantFrom<MigrationState>(...STATES) }],
  recoverPort: [1, {}],
  save: [2, { amount, precopy: fc.boolean() }],
  load: [2, { amount }],
} as const;
