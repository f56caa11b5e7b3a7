/**
 * Copies of a ROM as the kernel reads it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { VfioError } from "../../../mod.ts";
import {
  apply,
  type DesiredState,
  restore,
  status,
} from "../../../lib/provision/mod.ts";
import { refused } from "../../failures.ts";
import { run } from "../command.ts";
import { DEVICES } from "../machines.ts";
import { addressOf, host } from "./setup.ts";

const nic = host.function(addressOf("e1000e0"));
const PATH = "/var/lib/roms/e1000e0.rom";
const STATE: DesiredState = { functions: [{ select: nic.address, rom: PATH }] };
const LIMIT = { timeout: 60_000 };

/** Reads the ROM as people do by hand. */
async function readByHand(): Promise<Uint8Array> {
  const copy = "/tmp/by-hand.rom";
  await run([
    "sh",
    "-c",
    `echo 1 > ${nic.path}/rom && cat ${nic.path}/rom > ${copy} && ` +
    `echo 0 > ${nic.path}/rom`,
  ]);
  const bytes = await Deno.readFile(copy);
  await Deno.remove(copy);
  return bytes;
}

/** Whether the ROM can be read. */
function readable(): boolean {
  try {
    Deno.readFileSync(`${nic.path}/rom`);
    return true;
  } catch {
    return false;
  }
}

/**
 * Lists what is beside the copies' directory, except the journals' directory.
 */
function lasting(): string[] {
  return [...Deno.readDirSync("/var/lib")].map(({ name }) => name)
    .filter((name) => name !== "passthru").sort();
}

/** The command register. */
function command(to?: Uint8Array): Uint8Array {
  using config = Deno.openSync(`${nic.path}/config`, {
    read: true,
    write: true,
  });
  config.seekSync(4, Deno.SeekMode.Start);
  const bytes = to ?? new Uint8Array(2);
  if (to === undefined) config.readSync(bytes);
  else config.writeSync(bytes);
  return bytes;
}

Deno.test("apply() copies the ROM once, and restore() removes the copy", async () => {
  await restore(host, LIMIT);
  const before = lasting();
  const { steps } = await apply(host, STATE, LIMIT);
  assertEquals(steps.map(({ kind }) => kind), ["rom"]);
  assertEquals(readable(), false);
  const copy = await Deno.readFile(PATH);
  assertEquals(copy, await readByHand());
  assertEquals(copy, DEVICES.find(({ name }) => name === "e1000e0")?.rom);
  assertEquals(Deno.statSync(PATH).mode! & 0o7777, 0o644);
  assertEquals((await apply(host, STATE, LIMIT)).steps, []);
  const [applied] = await status(host);
  assertEquals(applied?.steps.map(({ made, holds }) => made && holds), [true]);
  const { undone, left } = await restore(host, LIMIT);
  assertEquals([undone.length, left], [1, []]);
  assertEquals(lasting(), before);
});

Deno.test("restore() keeps a copy when it was changed", async () => {
  await apply(host, STATE, LIMIT);
  const copy = await Deno.readFile(PATH);
  await Deno.writeFile(PATH, copy.with(100, 1));
  const { left: [left] } = await restore(host, LIMIT);
  assert(left?.error instanceof VfioError);
  assertEquals(left.error.code, "CHANGED");
  await Deno.writeFile(PATH, copy);
  assertEquals((await restore(host, LIMIT)).left, []);
});

Deno.test("apply() throws NOT_SUPPORTED when the function does not answer, and works after its hint", async () => {
  const before = command();
  const driver = nic.driver!;
  await Deno.writeTextFile(`${nic.path}/driver/unbind`, nic.address);
  try {
    command(new Uint8Array(2));
    const error = await refused(
      "NOT_SUPPORTED",
      () => apply(host, STATE, LIMIT),
    );
    assertEquals(error.device, nic.address);
    const [, hinted = ""] = /(echo 1 > \S+)$/.exec(error.hint!) ?? [];
    assertStringIncludes(hinted, "enable");
    assertEquals(readable(), false);
    assertEquals(await status(host), []);
    await run(["sh", "-c", hinted]);
    await using applied = await apply(host, STATE, LIMIT);
    assertEquals(applied.steps.length, 1);
  } finally {
    await Deno.writeTextFile(`${nic.path}/enable`, "0");
    command(before);
    await Deno.writeTextFile(
      `/sys/bus/pci/drivers/${driver}/bind`,
      nic.address,
    );
  }
  assertEquals(nic.driver, driver);
});
