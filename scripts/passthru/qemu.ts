/**
 * Running QEMU with devices of this host: they are taken from their drivers,
 * QEMU runs, and they are given back.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { groupNotViable } from "../../backends/explain.ts";
import { attachTarget } from "../../backends/target.ts";
import { vfioNodes } from "../../lib/host/nodes.ts";
import { memoryLock } from "../../lib/host/memory_lock.ts";
import {
  type Host,
  type HostDevice,
  PciFunction,
  type QemuAccess,
  qemuArguments,
  qemuLockedMemory,
  VfioDescriptors,
} from "../../mod.ts";
import { Signals } from "./signals.ts";
import { userCommand } from "./user.ts";

/** How QEMU comes to its devices, as `QemuAccess` has it. */
export type QemuWay = QemuAccess["by"];

/** What is to run. */
export interface QemuRun {
  /** The host that has the devices. */
  readonly host: Host;
  /** The devices, each as `Host.find` takes it, in the order QEMU gets them. */
  readonly devices: readonly string[];
  /**
   * How QEMU comes to them. Default: `fds` where a user is named, else
   * `iommufd` where the host and QEMU have it, else `legacy`.
   */
  readonly by?: QemuWay | undefined;
  /**
   * The user that QEMU runs as, a name or `UID[:GID]`, which only root can
   * choose. With `fds` it needs no access to any node. Default: this user.
   */
  readonly user?: string | undefined;
  /** The program. Default: `qemu-system-x86_64`. */
  readonly program?: string | undefined;
  /** QEMU's own arguments. */
  readonly args: readonly string[];
  /**
   * How much memory QEMU may lock where it runs as another user, in bytes.
   * Default: `qemuLockedMemory` of its arguments.
   */
  readonly memoryLock?: bigint | undefined;
  /** Where QEMU's standard error goes, a descriptor. Default: this process's. */
  readonly stderr?: number | undefined;
  /** Told what is done, in lines. */
  readonly note?: ((line: string) => void) | undefined;
}

/** The first descriptor after standard input, output and error. */
const FIRST_FD = 3;

/**
 * Takes devices, runs QEMU with them to its end, and gives them back.
 *
 * Devices that are bound to a VFIO driver already, and mediated devices, stay
 * as they are. SIGINT, SIGTERM and SIGHUP go to QEMU; before it runs they end
 * the taking, and what was taken goes back.
 *
 * @param run What to run.
 * @returns QEMU's exit code; 128 and the signal's number where one ended it.
 * @throws {VfioError} What `Host.take` and `VfioDescriptors.open` throw, and
 * `GROUP_NOT_VIABLE`. Nothing stays taken.
 * @throws {TypeError} When QEMU cannot be run, or has no iommufd and one is
 * asked for, when there is no such user, and what `qemuArguments` throws.
 *
 * @example
 * ```ts ignore
 * import { Host } from "@passthru/vfio";
 * import { runQemu } from "./scripts/passthru/qemu.ts";
 *
 * const code = await runQemu({
 *   host: new Host(),
 *   devices: ["0000:01:00.0"],
 *   user: "nobody",
 *   args: ["-machine", "q35", "-m", "1G", "-nographic"],
 * });
 * Deno.exit(code);
 * ```
 */
export async function runQemu(run: QemuRun): Promise<number> {
  const { host, note = () => {} } = run;
  const devices = run.devices.map((name) => host.find(name));
  const as = run.user === undefined
    ? []
    : await userCommand(run.user, run.memoryLock ?? lockedMemory(run));
  using signals = new Signals();
  await using taken = new AsyncDisposableStack();
  for (const device of devices) {
    if (!(device instanceof PciFunction)) continue;
    const { driver, previousDriver } = taken.use(
      await host.take(device, { signal: signals.aborted }),
    );
    if (driver === previousDriver) continue;
    note(`${device.address}: ${previousDriver ?? "no driver"} → ${driver}`);
  }
  assertViable(devices);
  const by = await wayOf(run, devices);
  await using open = by === "fds"
    ? await VfioDescriptors.open(devices)
    : undefined;
  const passed = open === undefined ? [] : passedOn(open);
  const inside = (fd: number) => FIRST_FD + passed.indexOf(fd);
  const access: QemuAccess = by !== "fds" ? { by } : {
    by,
    iommufd: inside(open!.iommufd),
    devices: open!.devices.map(inside),
  };
  const [program, ...args] = [
    ...as,
    programOf(run),
    ...run.args,
    ...qemuArguments(devices.map((device) => ({ device })), access),
  ];
  tellOfMemory(run, note);
  note([program, ...args].join(" "));
  signals.aborted.throwIfAborted();
  const child = spawn(program!, args, {
    stdio: ["inherit", "inherit", run.stderr ?? "inherit", ...passed],
  });
  signals.passOn((signal) => child.kill(signal));
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once(
      "exit",
      (code, signal) => resolve(code ?? 128 + constants.signals[signal!]),
    );
  });
  // QEMU has its own by now, and a device is free when nobody has it open.
  await open?.close();
  const code = await ended;
  note(`QEMU ended with ${code}`);
  return code;
}

function programOf({ program = "qemu-system-x86_64" }: QemuRun): string {
  return program;
}

function lockedMemory({ args, devices }: QemuRun): bigint {
  return qemuLockedMemory(args, devices.length);
}

/** QEMU would say no more than that it cannot have the group. */
function assertViable(devices: readonly HostDevice[]): void {
  for (const device of devices) {
    const target = attachTarget(device, false);
    if (!target.group.viability().viable) throw groupNotViable(target);
  }
}

/** The way that was asked for, if QEMU has it, or the best that there is. */
async function wayOf(
  run: QemuRun,
  devices: readonly HostDevice[],
): Promise<QemuWay> {
  const { by = run.user === undefined ? undefined : "fds" } = run;
  if (by === "legacy") return by;
  const iommufd = await hasIommufd(programOf(run));
  if (by === undefined) {
    return iommufd && devices.every((device) => vfioNodes(device).cdev)
      ? "iommufd"
      : "legacy";
  }
  if (iommufd) return by;
  throw new TypeError(
    `${programOf(run)} has no iommufd, which QEMU has from 9.0 on: ` +
      "take a newer one, or the legacy way",
  );
}

async function hasIommufd(program: string): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command(program, {
      args: ["-object", "help"],
      stderr: "null",
    }).output();
    return /^\s*iommufd$/m.test(new TextDecoder().decode(stdout));
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    throw new TypeError(`Cannot run ${program}: ${cause.message}`, { cause });
  }
}

/**
 * What is passed on, in the order in which the runtime moves it to 3, 4 and so
 * on: one after the other, over what lies there. As the lowest goes first, none
 * is lost that is still to be moved.
 */
function passedOn({ iommufd, devices }: VfioDescriptors): number[] {
  return [iommufd, ...devices].sort((a, b) => a - b);
}

/** Without root's rights the limit is what it is, and QEMU may fail at it. */
function tellOfMemory(run: QemuRun, note: (line: string) => void): void {
  const mebibytes = (bytes: bigint) => `${bytes >> 20n} MiB`;
  const { limit } = memoryLock(run.host.kernel);
  const need = run.memoryLock ?? lockedMemory(run);
  if (run.user !== undefined) {
    note(`QEMU runs as ${run.user} and may lock ${mebibytes(need)}`);
  } else if (limit !== undefined && limit < need) {
    note(
      `QEMU may have to lock ${mebibytes(need)}, and this user's limit is ` +
        `${mebibytes(limit)}: ulimit -l`,
    );
  }
}
