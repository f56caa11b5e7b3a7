/**
 * Booting a guest: QEMU's emulation, the host's root file system, one job.
 *
 * @module
 */
import { dirname, fromFileUrl, join } from "@std/path";
import { cacheDir } from "./cache.ts";
import { quote } from "./command.ts";
import { initramfs } from "./initramfs.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { DEVICES, type Machine, machineInfo } from "./machines.ts";

/** The checkout: what a guest's working directory is unless it is told. */
export const CHECKOUT: string = join(
  dirname(fromFileUrl(import.meta.url)),
  "../..",
);

/** What to run in a guest, and where its output goes. */
export interface GuestOptions {
  /** The program and its arguments; an interactive shell when left out. */
  command?: readonly string[];
  /** The working directory, the checkout unless given. */
  cwd?: string;
  /** Environment variables beyond what every guest gets. */
  env?: Readonly<Record<string, string>>;
  /** Ends the guest after so many milliseconds. */
  timeout?: number;
  /** Called with what the command writes to standard output. */
  onStdout?: (chunk: Uint8Array) => void;
  /** Called with what the command writes to standard error. */
  onStderr?: (chunk: Uint8Array) => void;
}

/** The guest ended without the command's exit code. */
export class GuestDied extends Error {
  /** The last lines of the kernel's console. */
  readonly console: string;

  /**
   * @param reason Why it ended.
   * @param console The last lines of the kernel's console.
   */
  constructor(reason: string, console: string) {
    super(`${reason}\n--- end of the guest's console ---\n${console}`);
    this.name = "GuestDied";
    this.console = console;
  }
}

/**
 * Boots a machine, runs one command in it and powers it off.
 *
 * Without a command the guest's shell takes over this process's terminal.
 *
 * @param machine The machine.
 * @param options What to run.
 * @returns The command's exit code.
 * @throws {GuestDied} When the guest panics, hangs beyond the time limit or
 * powers off before the command has ended.
 */
export async function runInGuest(
  machine: Machine,
  options: GuestOptions,
): Promise<number> {
  const itsKernel = await kernel(machine.kernel);
  const archive = await initramfs(itsKernel);
  const dir = await Deno.makeTempDir({ prefix: "passthru-" });
  try {
    await writeJob(dir, machine, itsKernel, options);
    return await boot(dir, machine, itsKernel, archive, options);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Writes what the guest reads when it has mounted the host's file system. */
async function writeJob(
  dir: string,
  machine: Machine,
  itsKernel: Kernel,
  options: GuestOptions,
): Promise<void> {
  const deno = Deno.execPath();
  const env = {
    HOME: Deno.env.get("HOME") ?? "/",
    TERM: Deno.env.get("TERM") ?? "dumb",
    PATH: `${dirname(deno)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin` +
      ":/sbin:/bin",
    DENO_DIR: denoDir(),
    DENO_NO_UPDATE_CHECK: "1",
    PASSTHRU_MACHINE: JSON.stringify(machineInfo(machine)),
    PASSTHRU_CWD: options.cwd ?? CHECKOUT,
    PASSTHRU_DENO: deno,
    PASSTHRU_MODULES: itsKernel.modules,
    ...(options.command ? {} : { PASSTHRU_TERMINAL: terminalSize() }),
    ...options.env,
  };
  const command = options.command?.map(quote).join(" ") ?? "bash -i";
  await Deno.writeTextFile(
    join(dir, "job.env"),
    Object.entries(env).map(([name, value]) =>
      `export ${name}=${quote(value)}\n`
    ).join(""),
  );
  await Deno.writeTextFile(join(dir, "job.sh"), `exec ${command}\n`);
  await Deno.copyFile(
    join(dirname(fromFileUrl(import.meta.url)), "init/guest.sh"),
    join(dir, "init.sh"),
  );
  await Deno.writeFile(join(dir, "nvme0.img"), new Uint8Array());
  await Deno.truncate(join(dir, "nvme0.img"), 64 << 20);
}

/**
 * Deno's cache as the guests see it: filled on the host, where it is quick.
 *
 * @returns The directory, for `DENO_DIR`.
 */
export function denoDir(): string {
  return join(cacheDir(), "deno");
}

function terminalSize(): string {
  const { columns, rows } = Deno.consoleSize();
  return `columns ${columns} rows ${rows}`;
}

async function boot(
  dir: string,
  machine: Machine,
  itsKernel: Kernel,
  archive: string,
  options: GuestOptions,
): Promise<number> {
  const interactive = options.command === undefined;
  const ports = interactive ? ["exit"] : ["exit", "stdout", "stderr"];
  const listeners = ports.map((name) =>
    Deno.listen({ transport: "unix", path: join(dir, `${name}.sock`) })
  );
  const qemu = new Deno.Command("qemu-system-x86_64", {
    args: [
      ...hardware(dir, machine, itsKernel, archive),
      ...ports.flatMap((name, i) => [
        "-chardev",
        `socket,id=${name},path=${dir}/${name}.sock`,
        "-device",
        `virtserialport,chardev=${name},name=${name},nr=${i + 1}`,
      ]),
      ...(interactive
        ? [
          "-chardev",
          "stdio,id=terminal,signal=off",
          "-device",
          "virtconsole,chardev=terminal,nr=0",
        ]
        : []),
    ],
    stdin: interactive ? "inherit" : "null",
    stdout: interactive ? "inherit" : "null",
    stderr: "inherit",
  }).spawn();
  let reason = "";
  const timer = options.timeout === undefined ? undefined : setTimeout(() => {
    reason = `no end after ${options.timeout! / 1000} s`;
    qemu.kill("SIGKILL");
  }, options.timeout);
  let code = "";
  const sinks: ((chunk: Uint8Array) => void)[] = [
    (chunk) => code += new TextDecoder().decode(chunk),
    options.onStdout ?? (() => {}),
    options.onStderr ?? (() => {}),
  ];
  const streams = listeners.map(async (listener, i) => {
    try {
      using connection = await listener.accept();
      for await (const chunk of connection.readable) sinks[i]!(chunk);
    } catch (error) {
      // QEMU ended before it connected: the listener was closed below.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  });
  const status = await qemu.status;
  clearTimeout(timer);
  for (const listener of listeners) listener.close();
  await Promise.all(streams);
  if (/^\d+\n$/.test(code)) return Number(code);
  const log = await Deno.readTextFile(join(dir, "console.log")).catch(() => "");
  const panic = log.match(/Kernel panic.*/)?.[0];
  throw new GuestDied(
    `The guest ${machine.name} ended before its command did: ${
      reason || panic || (status.success
        ? "it was powered off"
        : `QEMU ended with ${status.signal ?? `exit code ${status.code}`}`)
    }`,
    log.trimEnd().split(/\r?\n/).slice(-40).join("\n"),
  );
}

/** QEMU's arguments for the machine itself. */
function hardware(
  dir: string,
  machine: Machine,
  itsKernel: Kernel,
  archive: string,
): string[] {
  const parameters = [
    "console=ttyS0",
    "panic=-1",
    "quiet",
    "loglevel=5",
    "no_timer_check",
    ...(machine.iommu === "intel" ? ["intel_iommu=on"] : []),
    `PASSTHRU_RUN=${dir}`,
  ];
  return [
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
    ...["-machine", "q35,kernel-irqchip=split"],
    ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"],
    ...["-kernel", itsKernel.image, "-initrd", archive],
    ...["-append", parameters.join(" ")],
    ...["-serial", `file:${dir}/console.log`],
    // before the devices it translates for
    ...(machine.iommu === "intel"
      ? ["-device", "intel-iommu,intremap=on,aw-bits=48"]
      : []),
    ...[
      "-fsdev",
      "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
    ],
    ...["-device", "virtio-9p-pci,fsdev=host,mount_tag=host,addr=1d.0"],
    ...["-device", "virtio-serial-pci,addr=1e.0"],
    ...DEVICES.flatMap((device) => [
      ...(device.backing ?? []).map((text) => text.replace("{dir}", dir)),
      "-device",
      `${device.model},addr=${device.at}`,
    ]),
  ];
}
