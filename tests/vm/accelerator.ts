/**
 * Decides how machines are run: under KVM where that works, else by emulation.
 * The decision is made once, kept in the cache, and printed before the first
 * machine boots.
 *
 * @module
 */
import { join } from "@std/path";
import { type Accelerator, race, type Verdict } from "./accelerator_race.ts";
import { cached, cacheDir, exists, fingerprint, locked } from "./cache.ts";
import { run } from "./command.ts";
import { MachineError } from "./errors.ts";
import { INSTALLED_QEMU, type Qemu } from "./newer_qemu.ts";

export type { Accelerator };

/** Counts up when the race changes. */
const RECIPE = 1;

const DEVICE = "/dev/kvm";

/** The value of a command's `--accel`. */
let wanted: Accelerator | undefined;

/** The decision that this process has made and printed. */
let decided: Promise<Accelerator> | undefined;

/**
 * Has machines run as a command's option says, without a race.
 *
 * @param name `kvm` or `tcg`; `undefined` when the option was not given.
 * @throws {MachineError} When it is another name.
 */
export function setAccelerator(name: string | undefined): void {
  if (name !== undefined && name !== "kvm" && name !== "tcg") {
    throw new MachineError(`--accel is kvm or tcg, not "${name}"`);
  }
  wanted = name;
  decided = undefined;
}

/**
 * Returns how to run machines. The first call in a process prints it to
 * standard error, with the reason. It takes some seconds where the cache does
 * not have the decision.
 *
 * @returns `"kvm"`, or `"tcg"` for emulation.
 * @throws {MachineError} When `--accel kvm` was given and there is no KVM.
 */
export function accelerator(): Promise<Accelerator> {
  return decided ??= decide();
}

async function decide(): Promise<Accelerator> {
  const { accelerator, why } = wanted === undefined
    ? await findAccelerator(INSTALLED_QEMU)
    : await asWanted(wanted);
  const how = accelerator === "kvm" ? "under KVM" : "by emulation";
  console.error(`Machines run ${how}: ${why}`);
  return accelerator;
}

/** Checks a decision by option. There is no race: the user may know better. */
async function asWanted(
  accelerator: Accelerator,
): Promise<Pick<Verdict, "accelerator" | "why">> {
  const obstacle = accelerator === "kvm" ? await refusal(DEVICE) : undefined;
  if (obstacle) throw new MachineError(`--accel kvm: ${obstacle}`);
  return { accelerator, why: `--accel ${accelerator}` };
}

/**
 * Finds out whether to run machines under KVM, unless the cache has the answer.
 *
 * @param qemu The QEMU to run.
 * @param device KVM's node.
 * @returns How to run machines, and why.
 */
export async function findAccelerator(
  qemu: Qemu,
  device: string = DEVICE,
): Promise<Verdict> {
  const obstacle = await refusal(device);
  if (obstacle) return { accelerator: "tcg", why: obstacle, lasting: false };
  const path = join("accelerator", await circumstances(qemu));
  const known = () => read(join(cacheDir(), path));
  return await known() ?? await locked("accelerator", async () => {
    const found = await known() ?? await race(qemu);
    if (found.lasting) {
      await cached(path, (to) => Deno.writeTextFile(to, JSON.stringify(found)));
    }
    return found;
  });
}

async function read(path: string): Promise<Verdict | undefined> {
  if (!await exists(path)) return undefined;
  return JSON.parse(await Deno.readTextFile(path));
}

/**
 * Returns why this user cannot have KVM. It is not cached, as it may change.
 */
async function refusal(device: string): Promise<string | undefined> {
  try {
    (await Deno.open(device, { read: true, write: true })).close();
    return undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `there is no ${device}`;
    if (error instanceof Deno.errors.PermissionDenied) {
      return `this user may not open ${device}`;
    }
    return (error as Error).message;
  }
}

/**
 * The circumstances of a verdict. When one of them changes, there is another
 * race.
 */
async function circumstances({ program, args }: Qemu): Promise<string> {
  const version = await run([program, ...args, "--version"]);
  const cpu = await Deno.readTextFile("/proc/cpuinfo");
  const model = /^model name.*$/m.exec(cpu)?.[0];
  return await fingerprint(
    [RECIPE, program, version, Deno.osRelease(), model].join("\n"),
  );
}
