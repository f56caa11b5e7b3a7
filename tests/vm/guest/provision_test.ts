/**
 * An apply that is killed at every step, and at any time between them: restore
 * brings back exactly the previous state.
 */
import {
  assert,
  assertEquals,
  assertGreater,
  assertStringIncludes,
} from "@std/assert";
import {
  apply,
  applySteps,
  type DesiredState,
  persist,
  plan,
  restore,
  status,
  type Step,
  unpersist,
} from "../../../lib/provision/mod.ts";
import { refused } from "../../failures.ts";
import { run } from "../command.ts";
import { triesAll } from "../machine_env.ts";
import { Script } from "./script.ts";
import { addressOf, host, machine } from "./setup.ts";

/**
 * The time limit, in milliseconds. Under emulation every write to sysfs is
 * slow.
 */
const LIMIT = { timeout: 60_000 };

/** A state with all kinds of steps that this machine has. */
const STATE: DesiredState = {
  functions: [
    { select: addressOf("nvme0"), driver: "vfio-pci", reset: ["flr"] },
    {
      select: addressOf("e1000e0"),
      driver: "vfio-pci",
      rom: "/var/lib/roms/e1000e0.rom",
      // The testbed's kernel has no power management.
      ...machine.kernel !== "testbed" && { idleD3: false },
      node: { owner: 1000, mode: "0660" },
    },
    { select: addressOf("edu0"), driver: "vfio-pci" },
    {
      select: addressOf("sriov0"),
      virtualFunctions: { count: 4, driver: "vfio-pci" },
    },
  ],
  hugePages: [{ size: "2M", count: 3 }],
  memoryLimit: { nobody: "1G" },
};

/**
 * Attributes that count events or tell times. `waiting_for_supplier` disappears
 * with the first driver that a device ever has (`device_links_driver_bound()`
 * in `drivers/base/core.c`).
 */
const RESTLESS = new RegExp(
  "^(?:aer_.*|config|msi_irqs|pools|power_state|resource\\d.*|runtime_.*|" +
    "statistics|waiting_for_supplier|wakeup.*)$",
);

/** Reads the attributes of a directory and of those directly below it. */
function contents(path: string, depth: number): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const { name, isSymlink, isDirectory } of Deno.readDirSync(path)) {
    if (RESTLESS.test(name)) continue;
    const each = `${path}/${name}`;
    found[name] = isSymlink
      ? Deno.readLinkSync(each)
      : !isDirectory
      ? readable(each)
      // A driver may number its own devices otherwise when it comes back.
      : name === "power" && depth > 0 && contents(each, depth - 1);
  }
  return found;
}

function readable(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return null; // such as an attribute that can only be written
  }
}

function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

/**
 * Reads everything in sysfs, /etc and /dev that the state changes, and the
 * journals.
 */
function everything() {
  const drivers = "/sys/bus/pci/drivers";
  return {
    functions: host.functions().map(({ path }) => contents(path, 1)),
    groups: host.groups().map(({ id, type, devices }) => [
      id,
      type,
      devices.map(({ name }) => name),
    ]),
    drivers: names(drivers).map((name) => [name, names(`${drivers}/${name}`)]),
    nodes: names("/dev/vfio").map((name) => [
      name,
      Deno.statSync(`/dev/vfio/${name}`).uid,
      Deno.statSync(`/dev/vfio/${name}`).mode,
    ]),
    hugePages: Deno.readTextFileSync("/proc/sys/vm/nr_hugepages"),
    limits: names("/etc/security/limits.d"),
    lasting: names("/var/lib").filter((name) => name !== "passthru"),
    journals: ["/run/passthru", "/var/lib/passthru"].flatMap((
      path,
    ) => [...journals(path)]),
  };
}

function journals(path: string): string[] {
  try {
    return names(path).filter((name) => name.endsWith(".jsonl"));
  } catch {
    return [];
  }
}

/** Starts an apply that sends its events, and stops at one. */
async function applying(stop: number): Promise<Script> {
  return await Script.start(
    {},
    async ({ Host, send }, state, options, stop) => {
      const { apply } = await import("@passthru/vfio/provision");
      let events = 0;
      send("ready");
      await apply(new Host(), state as DesiredState, {
        ...options,
        onStep({ step, phase }) {
          send([phase, step.kind, step.device ?? null]);
          if (++events !== stop) return;
          // The thread stops: not even what it has begun goes on.
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        },
      });
      send("applied");
      await new Promise(() => setTimeout(() => {}, 1_000_000));
    },
    STATE,
    LIMIT,
    stop,
  );
}

async function restoreAll(): Promise<readonly Step[]> {
  const { undone, left } = await restore(host, LIMIT);
  assertEquals(left, []);
  return undone;
}

/**
 * Makes a test for machines with an IOMMU, where VFIO drivers take functions.
 */
function test(
  name: string,
  show: (t: Deno.TestContext) => Promise<void>,
): void {
  if (machine.iommu !== "none") Deno.test(name, show);
}

/** A sample of moments: `tests/faults/` kills at each call. */
const MOMENTS = triesAll(machine) ? [0, 400, 800, 1200] : [600];

let before: ReturnType<typeof everything>;
let events: [phase: string, kind: string, device: string | null][];

/**
 * The last event of each kind of step. On an older kernel only of the kinds
 * that the newest kernel does not have, and of one that all have.
 */
function lastOfEachKind(): number[] {
  const kinds = new Set(events.map(([, kind]) => kind));
  const driverKeys = new Set(["driver", "idleD3"]);
  return [...triesAll(machine) ? kinds : kinds.intersection(driverKeys)].map((
    wanted,
  ) =>
    1 +
    events.findLastIndex(([phase, kind]) => phase === "made" && kind === wanted)
  );
}

test("apply() makes the state, and restore() undoes it from another process", async () => {
  before = everything();
  assertEquals(before.journals, []);
  await using script = await applying(-1);
  assertEquals(await script.next(), "ready");
  events = [];
  for (;;) {
    const event = await script.next();
    if (event === "applied") break;
    events.push(event as typeof events[number]);
  }
  assertEquals(plan(host, STATE).steps, []);
  assertEquals((await apply(host, STATE, LIMIT)).steps, []);
  const [applied] = await status(host);
  assertEquals(applied?.steps.length, events.length / 2);
  assert(applied?.steps.every(({ made, holds }) => made && holds));
  assertEquals((await restoreAll()).length, events.length / 2);
  assertEquals(everything(), before);
});

test("restore() brings back exactly the previous state when apply was killed at a step of any kind", async (t) => {
  const stops = lastOfEachKind();
  assertGreater(stops.length, 0);
  for (const stop of stops) {
    await t.step(`${stop}: ${JSON.stringify(events[stop - 1])}`, async () => {
      {
        await using script = await applying(stop);
        assertEquals(await script.next(), "ready");
        for (let i = 0; i < stop; i++) await script.next();
      }
      const undone = await restoreAll();
      assertGreater(undone.length, 0);
      assertEquals(everything(), before);
    });
  }
});

test("restore() brings back exactly the previous state when apply was killed at any time", async (t) => {
  for (const moment of MOMENTS) {
    await t.step(`after ${moment} ms`, async () => {
      {
        await using script = await applying(-1);
        assertEquals(await script.next(), "ready");
        await new Promise((resolve) => setTimeout(resolve, moment));
      }
      await restoreAll();
      assertEquals(everything(), before);
    });
  }
});

test("restore() completes when another restore was killed", async (t) => {
  for (const moment of MOMENTS.slice(0, 2)) {
    await t.step(`after ${moment} ms`, async () => {
      await apply(host, STATE, LIMIT);
      {
        await using script = await Script.start(
          {},
          async ({ Host, send }, options) => {
            const { restore } = await import("@passthru/vfio/provision");
            send("ready");
            await restore(new Host(), options);
          },
          LIMIT,
        );
        assertEquals(await script.next(), "ready");
        await new Promise((resolve) => setTimeout(resolve, moment));
      }
      await restoreAll();
      assertEquals(everything(), before);
    });
  }
});

test("applySteps() throws LOCKED when another process changes the host, and works when that was killed", async () => {
  const step: Step = {
    kind: "driver",
    device: addressOf("edu1"),
    driver: "vfio-pci",
    why: "a test wants it",
  };
  {
    await using script = await applying(1);
    assertEquals(await script.next(), "ready");
    await script.next();
    const error = await refused(
      "LOCKED",
      () => applySteps(host, [step], { timeout: 500 }),
    );
    assertStringIncludes(error.message, "deno (process ");
  }
  await restoreAll();
  {
    await using applied = await applySteps(host, [step], LIMIT);
    assertEquals(applied.steps, [step]);
  }
  assertEquals(everything(), before);
});

test("persist() installs a unit that systemd accepts, and unpersist() removes it", async () => {
  const { unit, files } = await persist(host, STATE, "guest", {
    command: [Deno.execPath()],
  });
  assertEquals(files.length, 4);
  assertEquals(files.map((path) => Deno.lstatSync(path).isFile), [
    true,
    true,
    true,
    false,
  ]);
  const complaints: string[] = [];
  await run(["systemd-analyze", "verify", "--man=no", unit], {
    onLine: (line) => complaints.push(line),
  });
  assertEquals(complaints.filter((line) => line.includes(unit)), []);
  assertEquals(await unpersist(host, "guest"), true);
  assertEquals(files.map(readable), [null, null, null, null]);
  assertEquals(everything(), before);
});
