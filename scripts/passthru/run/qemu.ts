/**
 * Runs QEMU with devices of this host: binds them to vfio-pci, runs QEMU, and
 * restores the host.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { memoryLock } from "../../../lib/host/iommu/memory_lock.ts";
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

/** How QEMU gets its devices: see `QemuAccess`. */
export type QemuWay = QemuAccess["by"];

/** A run of QEMU. */
export interface QemuRun {
  /** The host that has the devices. */
  readonly host: Host;
  /** The devices, each as `Host.find` takes it, in the order QEMU gets them. */
  readonly devices: readonly string[];
  /**
   * What happens to the other endpoints of their groups: see `FunctionState`.
   */
  readonly group?: FunctionState["group"] | undefined;
  /** The addresses of functions that are taken although the host uses them. */
  readonly insist?: readonly string[] | undefined;
  /**
   * How QEMU gets them. Default: `auto`, which is `fds` where a user is named,
   * else `iommufd` where the host and QEMU have it, else `legacy`.
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
  /** The descriptor of QEMU's standard error. Default: this process's. */
  readonly stderr?: number | undefined;
  /** Called with a line for each thing that is done. */
  readonly note?: ((line: string) => void) | undefined;
}

/** The first descriptor after standard input, output and error. */
const FIRST_FD = 3;

/**
 * Takes devices, runs QEMU with them to its end, and gives them back.
 *
 * It takes them by {@linkcode apply}, which refuses devices that the host uses.
 * When this process is killed, `restore` gives them back. Mediated devices, and
 * functions that have a VFIO driver already, stay as they are. When all are
 * such, only QEMU's rights are needed.
 *
 * SIGINT, SIGTERM and SIGHUP go to QEMU. Before it runs, they abort, and the
 * devices are given back.
 *
 * @param run What to run.
 * @returns QEMU's exit code; 128 plus the signal's number when a signal ended
 * it.
 * @throws {VfioError} What `apply` and `VfioDescriptors.open` throw. The
 * devices are given back.
 * @throws {TypeError} When QEMU cannot be run, when it lacks an iommufd that is
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
  // From the start: a program that is asked what it can do takes time too.
  using signals = new Signals();
  const program = run.program ?? "qemu-system-x86_64";
  const devices = run.devices.map((name) => host.find(name));
  const asked = run.by === "auto" ? undefined : run.by;
  const wanted = asked ?? (user === undefined ? undefined : "fds");
  const iommufd = wanted !== "legacy" && await hasIommufd(program);
  if (!iommufd && (wanted === "iommufd" || wanted === "fds")) {
    throw new TypeError(
      `${program} has no iommufd: use QEMU 9.0 or newer, or the legacy way`,
    );
  }
  const memory = run.memoryLock ?? qemuLockedMemory(args, devices.length);
  const userWords = user === undefined ? [] : await userCommand(user, memory);

  signals.aborted.throwIfAborted();
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
  const by = wanted ?? (iommufd ? "auto" : "legacy");
  await using open = by === "fds"
    ? await VfioDescriptors.open(devices)
    : undefined;
  const passed = open === undefined ? [] : passedDescriptors(open);
  const numberInQemu = (fd: number) => FIRST_FD + passed.indexOf(fd);
  const access: QemuAccess = by !== "fds" ? { by } : {
    by,
    iommufd: numberInQemu(open!.iommufd),
    devices: open!.devices.map(numberInQemu),
  };
  const command = [
    ...userWords,
    program,
    ...args,
    ...qemuArguments(devices.map((device) => ({ device })), access),
  ];
  noteMemoryLimit(run, memory);
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
  // QEMU has its own descriptors now. A device is free only when no process has
  // it open.
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
    // Without --allow-run: the command says which permission it needs.
    if (!(cause instanceof Error) || cause.name === "NotCapable") throw cause;
    throw new TypeError(`Cannot run ${program}: ${cause.message}`, { cause });
  }
}

/**
 * The descriptors to pass on, lowest first. The runtime moves them to 3, 4 and
 * so on, one after the other, and overwrites what is there. In this order it
 * overwrites none that is still to be moved.
 */
function passedDescriptors({ iommufd, devices }: VfioDescriptors): number[] {
  return [iommufd, ...devices].sort((a, b) => a - b);
}

/**
 * Says how much memory QEMU may lock as another user, or that this user's limit
 * may be too low for it.
 */
function noteMemoryLimit(
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
      `limit is ${mebibytes(limit)}: see ulimit -l`,
  );
}
