/**
 * Running QEMU with devices of this host: they are bound to vfio-pci, QEMU
 * runs, and the host is brought back to what it was.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { memoryLock } from "../../../lib/host/iommu/memory_lock.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import type { Host } from "../../../mod.ts";
import {
  type FunctionState,
  stepSubject,
  stepText,
} from "../../../lib/provision/mod.ts";
import {
  type QemuAccess,
  qemuArguments,
  qemuLockedMemory,
  VfioDescriptors,
} from "../../../lib/handoff/mod.ts";
import { Signals } from "./signals.ts";
import { takeForVfio } from "./taking.ts";
import { userCommand } from "./user.ts";

/** How QEMU comes to its devices, as `QemuAccess` has it. */
export type QemuWay = QemuAccess["by"];

/** What is to run. */
export interface QemuRun {
  /** The host that has the devices. */
  readonly host: Host;
  /** The devices, each as `Host.find` takes it, in the order QEMU gets them. */
  readonly devices: readonly string[];
  /** What becomes of the other endpoints of their groups, as a state says it. */
  readonly group?: FunctionState["group"] | undefined;
  /** The addresses of functions that are taken although the host uses them. */
  readonly insist?: readonly string[] | undefined;
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
 * They are taken by {@linkcode apply}, with all that it refuses, and when this
 * process is killed `restore` gives them back. Those that are bound to a VFIO
 * driver already, and mediated devices, stay as they are; where all are, it
 * needs no rights but QEMU's own.
 *
 * SIGINT, SIGTERM and SIGHUP go to QEMU. Before it runs they end the taking,
 * and what was taken goes back.
 *
 * @param run What to run.
 * @returns QEMU's exit code; 128 and the signal's number where one ended it.
 * @throws {VfioError} What `apply` and `VfioDescriptors.open` throw. Nothing
 * stays taken.
 * @throws {TypeError} When QEMU cannot be run, or has no iommufd and one is
 * asked for, when there is no such user, and what `qemuArguments` throws.
 *
 * @example
 * ```ts ignore
 * import { Host } from "@passthru/vfio";
 * import { runQemu } from "./scripts/passthru/run/qemu.ts";
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
  const { host, user, args, note = () => {} } = run;
  const program = run.program ?? "qemu-system-x86_64";
  const devices = run.devices.map((name) => host.find(name));
  const wanted = run.by ?? (user === undefined ? undefined : "fds");
  const iommufd = wanted !== "legacy" && await hasIommufd(program);
  if (!iommufd && (wanted === "iommufd" || wanted === "fds")) {
    throw new TypeError(
      `${program} has no iommufd, which QEMU has from 9.0 on: ` +
        "take a newer one, or the legacy way",
    );
  }
  const memory = run.memoryLock ?? qemuLockedMemory(args, devices.length);
  const userWords = user === undefined ? [] : await userCommand(user, memory);

  using signals = new Signals();
  const { group, insist = [] } = run;
  await using _ = await takeForVfio(host, devices, {
    group,
    insist,
    name: "qemu",
    signal: signals.aborted,
    onStep({ phase, step }) {
      if (phase === "begun") return;
      note(`${stepSubject(step)}: ${stepText(step)} (${phase})`);
    },
  });
  const by = wanted ??
    (iommufd && devices.every((device) => vfioNodes(device).cdev)
      ? "iommufd"
      : "legacy");
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
  const command = [
    ...userWords,
    program,
    ...args,
    ...qemuArguments(devices.map((device) => ({ device })), access),
  ];
  tellOfMemory(run, memory);
  note(command.join(" "));
  signals.aborted.throwIfAborted();
  const child = spawn(command[0]!, command.slice(1), {
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
function tellOfMemory(
  { host, user, note = () => {} }: QemuRun,
  need: bigint,
): void {
  const mebibytes = (bytes: bigint) => `${bytes >> 20n} MiB`;
  if (user !== undefined) {
    note(`QEMU runs as ${user} and may lock ${mebibytes(need)} of memory`);
    return;
  }
  const { limit } = memoryLock(host.kernel);
  if (limit === undefined || limit >= need) return;
  note(
    `QEMU may have to lock ${mebibytes(need)} of memory, and this user's ` +
      `limit is ${mebibytes(limit)}: ulimit -l`,
  );
}
