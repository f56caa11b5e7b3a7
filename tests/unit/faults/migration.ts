/**
 * Every kernel call of a migration fails in turn. The device runs then, nothing
 * stays open, and the same can be done again.
 */
import type { VfioDevice } from "../../../mod.ts";
import { failEachCall, MOVED, type World } from "./bench.ts";
import { bytesOf } from "../device/movable.ts";

/** Attaches a device, and takes its migration. */
async function migrationOf(world: World) {
  const device: VfioDevice = await world.attach(MOVED);
  return { device, migration: (await device.migration())! };
}

failEachCall("save() leaves the device running", {
  prepare: migrationOf,
  act: (_, { migration }) => bytesOf(migration.save({ chunkSize: 64 })),
});

failEachCall("save() with precopy leaves the device running", {
  prepare: migrationOf,
  act: (_, { migration }) => bytesOf(migration.save({ precopy: true })),
});

failEachCall("a save that is cancelled leaves the device running", {
  async prepare(world) {
    const { migration } = await migrationOf(world);
    return migration;
  },
  async act(_, migration) {
    const reader = migration.save({ chunkSize: 16 }).getReader();
    await reader.read();
    await reader.cancel();
  },
});

failEachCall("load() leaves the device running", {
  async prepare(world) {
    const { migration } = await migrationOf(world);
    const state = await bytesOf(migration.save());
    await migration.moveTo("running");
    return { migration, state };
  },
  async act(_, { migration, state }) {
    const writer = migration.load().getWriter();
    writer.closed.catch(() => {});
    await writer.write(state);
    await writer.close();
  },
});

failEachCall("moveTo() leaves the device where it was", {
  prepare: migrationOf,
  act: (_, { migration }) => migration.moveTo("stop"),
});

failEachCall("VfioDevice.detach() completes in the middle of a migration", {
  async prepare(world) {
    const { device, migration } = await migrationOf(world);
    await migration.save({ chunkSize: 16 }).getReader().read();
    return device;
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});

failEachCall("features.sleep() leaves nothing behind", {
  prepare: (world) => world.attach(MOVED),
  async act(_, device) {
    const features = await device.features();
    await using _sleep = await features.sleep({ wakeup: true });
  },
  leaves: "part",
});
