/**
 * `passthru migrate`
 *
 * @module
 */

import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import type { Migration } from "../../../lib/device/migration/migration.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { VfioError } from "../../../lib/errors.ts";
import type { HostDevice } from "../../../lib/host/device.ts";
import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { sizeText } from "../output/format.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Saves a device's state to a file, or loads it from one. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [action, operand, path] = args.operands as [string, string, string];
  const saves = action === "save";
  if (args.has("precopy") && !saves) {
    throw new UsageError("--precopy is for migrate save");
  }
  if (saves && path === "-") assertBytesTo(args, terminal);
  const device = fromUser(() => find(host, operand));
  await using space = new AddressSpace({ host });
  await using attached = await VfioDevice.attach(device, space);
  const migration = await attached.migration() ?? cannotMigrate(device);
  const bytes = saves
    ? await save(args, migration, terminal, path)
    : await load(migration, terminal, path);
  terminal.progress(undefined);
  tell(args, terminal, { device: device.name, action, file: path, bytes });
  return EXIT.DONE;
}

function find(host: Host, operand: string): HostDevice {
  return UUID.test(operand)
    ? host.find(`/sys/bus/mdev/devices/${operand.toLowerCase()}`)
    : host.function(operand);
}

function assertBytesTo(args: Arguments, { isTerminal }: Terminal): void {
  if (args.has("json")) {
    throw new UsageError("--json and the state cannot both be written to -");
  }
  if (isTerminal) {
    throw new UsageError(
      "a device's state is not for a terminal",
      "name a file, or pipe it into passthru migrate load",
    );
  }
}

function cannotMigrate(device: HostDevice): never {
  throw new VfioError("NOT_SUPPORTED", {
    device: device.name,
    problem: `its driver ${device.driver} cannot migrate it`,
    hint: device.driver === "vfio-pci"
      ? "a driver made for it may: passthru bind " +
        `${device.name} mlx5_vfio_pci, for example`
      : undefined,
  });
}

async function save(
  args: Arguments,
  migration: Migration,
  terminal: Terminal,
  path: string,
): Promise<number> {
  let saved = 0;
  const state = migration.save({
    precopy: args.has("precopy"),
    signal: terminal.signal,
    onProgress({ bytes, stopped, left }) {
      saved = bytes;
      const rest = left === undefined
        ? ""
        : `, ${sizeText(left.initialBytes + left.dirtyBytes)} left`;
      const how = stopped ? "stopped" : "running";
      terminal.progress(`saving, ${how}: ${sizeText(bytes)}${rest}`);
    },
  });
  await state.pipeTo(await terminal.writable(path));
  return saved;
}

async function load(
  migration: Migration,
  terminal: Terminal,
  path: string,
): Promise<number> {
  const { signal } = terminal;
  let loaded = 0;
  const counted = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      loaded += chunk.length;
      terminal.progress(`loading: ${sizeText(loaded)}`);
      controller.enqueue(chunk);
    },
  });
  const state = await terminal.readable(path);
  await state.pipeThrough(counted, { signal })
    .pipeTo(migration.load({ signal }), { signal });
  return loaded;
}

/** What was done, in JSON. */
export interface MigrateJson {
  /** The device's address or UUID. */
  readonly device: string;
  /** `"save"` or `"load"`. */
  readonly action: string;
  /** The file. */
  readonly file: string;
  /** The length of the state. */
  readonly bytes: number;
}

function tell(args: Arguments, terminal: Terminal, done: MigrateJson): void {
  if (args.has("json")) return writeJson(terminal, done);
  const { device, action, file, bytes } = done;
  const size = sizeText(bytes);
  const text = action === "save"
    ? `${device} is stopped, and its state saved to ${file}: ${size}\n`
    : `${device} runs with the state of ${file}: ${size}\n`;
  // Its state may be on standard output.
  if (action === "save" && file === "-") terminal.warn(text);
  else terminal.write(text);
}
