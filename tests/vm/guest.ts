/**
 * Runs one command in a guest, which boots for that and powers off.
 *
 * @module
 */
import { homedir } from "node:os";
import { dirname, fromFileUrl, join } from "@std/path";
import { onEndSignal } from "../../lib/kernel/interruption.ts";
import { type Accelerator, accelerator } from "./accelerator.ts";
import { limitBoot } from "./boot_limit.ts";
import { cacheDir } from "./cache.ts";
import { lines, quote } from "./command.ts";
import { GuestDied } from "./errors.ts";
import { initramfs } from "./initramfs.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { type Machine, machineInfo } from "./machines.ts";
import { driverModules } from "./modules.ts";
import { Ports, type StreamReader } from "./ports.ts";
import { newerQemu } from "./newer_qemu.ts";
import { qemuArguments, TERMINAL_ARGUMENTS } from "./qemu.ts";

/** The checkout, where every command of a guest starts. */
export const CHECKOUT: string = fromFileUrl(new URL("../..", import.meta.url))
  .replace(/\/$/, "");

/** Starts the job once the guest has its root file system. */
const START = new URL("init/start.sh", import.meta.url);

/** What to run in a guest, and where its output goes. */
export interface GuestOptions {
  /** The program and its arguments; an interactive shell when left out. */
  command?: readonly string[];
  /** Environment variables beyond what every guest gets. */
  env?: Readonly<Record<string, string>>;
  /** Ends the guest when it is aborted; the reason says why. */
  signal?: AbortSignal;
  /** Reads what the command writes to standard output. */
  stdout?: StreamReader;
  /** Reads what the command writes to standard error. */
  stderr?: StreamReader;
  /** The file that gets the kernel's console; one of the run by default. */
  console?: string;
}

/**
 * Boots a machine, runs one command in it and powers it off.
 *
 * Without a command the guest's shell takes over this process's terminal.
 *
 * @param machine The machine.
 * @param options What to run.
 * @returns The command's exit code.
 * @throws {GuestDied} When the guest panics, does not boot, is aborted or
 * interrupted, or powers off before the command has ended.
 */
export async function runInGuest(
  machine: Machine,
  options: GuestOptions = {},
): Promise<number> {
  const itsKernel = await kernel(machine.kernel);
  const archive = await initramfs(itsKernel);
  const dir = await Deno.makeTempDir({ prefix: "passthru-" });
  try {
    await writeJob(dir, machine, itsKernel, options);
    const qemu = await newerQemu();
    const by = await accelerator();
    const { console = join(dir, "console.log") } = options;
    const command = [
      qemu.program,
      ...qemu.args,
      ...await qemuArguments(machine, itsKernel, archive, dir, by),
      ...["-serial", `file:${console}`],
    ];
    return await boot(dir, machine, { command, by, console }, options);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/**
 * Returns Deno's cache of the guests. It is filled on the host, which is
 * quicker.
 *
 * @returns The directory, for `DENO_DIR`.
 */
export function denoDir(): string {
  return join(cacheDir(), "deno");
}

/**
 * Writes the files that the guest reads: the settings for its start, and the
 * job.
 */
async function writeJob(
  dir: string,
  machine: Machine,
  itsKernel: Kernel,
  { command, env }: GuestOptions,
): Promise<void> {
  const deno = Deno.execPath();
  const settings = {
    NAME: machine.name,
    MODULES: itsKernel.modules,
    RELEASE: itsKernel.release,
    LOAD: (await driverModules(itsKernel.modules)).join(" "),
    REACH: [CHECKOUT, dirname(deno), denoDir()].flatMap(upwards).join(" "),
    TERMINAL: command ? "" : terminalSize(),
  };
  const environment = {
    HOME: homedir(),
    TERM: Deno.env.get("TERM") ?? "dumb",
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" +
      dirname(deno),
    DENO_DIR: denoDir(),
    DENO_NO_UPDATE_CHECK: "1",
    PASSTHRU_DENO_CONFIG: "deno.offline.json",
    PASSTHRU_MACHINE: JSON.stringify(machineInfo(machine)),
    PASSTHRU_QEMU: JSON.stringify(await newerQemu()),
    ...env,
  };
  const job = [
    ...assignments(environment).map((each) => `export ${each}`),
    `cd ${quote(CHECKOUT)} || exit`,
    `exec ${command?.map(quote).join(" ") ?? "bash -i"}`,
  ];
  await Deno.copyFile(START, join(dir, "start.sh"));
  await Deno.writeTextFile(
    join(dir, "settings.sh"),
    assignments(settings).join("\n") + "\n",
  );
  await Deno.writeTextFile(join(dir, "job.sh"), job.join("\n") + "\n");
}

function assignments(values: Record<string, string>): string[] {
  return Object.entries(values).map(([name, value]) =>
    `${name}=${quote(value)}`
  );
}

/**
 * Lists a directory and those above it, relative to the root and without it.
 */
function upwards(path: string): string[] {
  return path === "/" ? [] : [path.slice(1), ...upwards(dirname(path))];
}

/** The terminal's size, as `stty` takes it. */
function terminalSize(): string {
  const { columns, rows } = Deno.consoleSize();
  return `columns ${columns} rows ${rows}`;
}

/** Runs QEMU to its end, and returns the command's exit code. */
async function boot(
  dir: string,
  machine: Machine,
  qemuRun: {
    readonly command: readonly string[];
    readonly by: Accelerator;
    readonly console: string;
  },
  { command, signal, stdout = discard, stderr = discard }: GuestOptions,
): Promise<number> {
  const interactive = command === undefined;
  const hint = qemuRun.by === "kvm" ? " under KVM: try --accel tcg" : "";
  let exitCode: number | undefined;
  const ports = new Ports(dir, () => end("its output cannot be passed on"));
  ports.open("events", async (stream) => {
    for await (const line of lines(stream)) {
      if (line === "started") bootLimit[Symbol.dispose]();
      else exitCode = Number(line);
    }
  });
  if (!interactive) {
    ports.open("stdout", stdout);
    ports.open("stderr", stderr);
  }

  const io = interactive ? "inherit" : "null";
  const qemu = new Deno.Command("setpriv", {
    args: [
      // QEMU ends with this process, however that ends
      ...["--pdeathsig", "KILL"],
      ...qemuRun.command,
      ...ports.args,
      ...(interactive ? TERMINAL_ARGUMENTS : []),
    ],
    stdin: io,
    stdout: io,
    stderr: "inherit",
  }).spawn();
  let reason: string | undefined;
  const end = (why: string) => {
    reason ??= why;
    qemu.kill("SIGKILL");
  };
  const bootLimit = limitBoot(
    qemu.pid,
    qemuRun.by,
    (why) => end(`${why}${hint}`),
  );
  const aborted = () => end(String(signal!.reason));
  signal?.addEventListener("abort", aborted);
  const listening = onEndSignal(() => end("interrupted"));

  const status = await qemu.status;
  bootLimit[Symbol.dispose]();
  signal?.removeEventListener("abort", aborted);
  listening[Symbol.dispose]();
  await ports.close();
  if (exitCode !== undefined && reason === undefined) return exitCode;

  const log = await Deno.readTextFile(qemuRun.console).catch(() => "");
  const ended = `QEMU ended with ${
    status.signal ?? `exit code ${status.code}`
  }`;
  reason ??= log.match(/Kernel panic.*/)?.[0] ??
    (status.success ? "it powered itself off" : `${ended}${hint}`);
  throw new GuestDied(
    `The guest "${machine.name}" died: ${reason}`,
    log.trimEnd().split(/\r?\n/).slice(-40).join("\n"),
  );
}

async function discard(stream: ReadableStream<Uint8Array>): Promise<void> {
  await stream.pipeTo(new WritableStream());
}
