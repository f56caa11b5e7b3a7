/**
 * `passthru mdev`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { basename, dirname } from "../../../lib/host/path.ts";
import {
  exists,
  ifPresent,
  linkName,
  linkTarget,
  namesIn,
} from "../../../lib/host/sysfs.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { applyState, restoreDevices, showPlan } from "../run/applying.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { typed } from "../run/typed.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Lists, creates and removes mediated devices. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [action = "list", ...operands] = args.operands;
  const expected = { list: [0, 0], create: [2, 3], remove: [1, 1] }[action]!;
  if (operands.length < expected[0]! || operands.length > expected[1]!) {
    throw new UsageError(
      `mdev ${action} is called wrongly`,
      "passthru mdev --help shows how it is called",
    );
  }
  switch (action) {
    case "create":
      return await create(args, host, terminal, operands);
    case "remove":
      if (!UUID.test(operands[0]!)) {
        throw new UsageError(
          `UUID is ${operands[0]}: expected the UUID of a mediated device`,
          "passthru mdev lists them",
        );
      }
      return await remove(args, host, terminal, operands[0]!.toLowerCase());
    default:
      return list(args, host, terminal);
  }
}

async function create(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  [parent, type, uuid = crypto.randomUUID()]: readonly string[],
): Promise<number> {
  const state: DesiredState = {
    mediated: [{ uuid, parent: selector(host, parent!), type: type! }],
  };
  if (args.has("dry-run")) {
    return typed(state, () => showPlan(args, host, terminal, state));
  }
  const name = `passthru mdev create ${parent} ${type} ${uuid}`;
  return await typed(
    state,
    () => applyState(args, host, terminal, state, name),
  );
}

async function remove(
  args: Arguments,
  host: Host,
  terminal: Terminal,
  uuid: string,
): Promise<number> {
  const code = await restoreDevices(args, host, terminal, [uuid]);
  const path = `/sys/bus/mdev/devices/${uuid}`;
  if (code === EXIT.DONE && !args.has("json") && exists(host.kernel, path)) {
    terminal.warn(
      `${uuid} is there still: somebody else has created it\n` +
        `hint: echo 1 > ${path}/remove\n`,
    );
  }
  return code;
}

/**
 * Selects a parent: a PCI function by its address, another device by its path.
 */
function selector(host: Host, parent: string): string {
  return parent.startsWith("/")
    ? parent
    : fromUser(() => host.function(parent)).address;
}

/** The name by which {@linkcode selector} selects the device at a path. */
function parentName(path: string): string {
  return path.startsWith("/sys/devices/virtual/") ? path : basename(path);
}

interface TypeJson {
  readonly parent: string;
  readonly type: string;
  readonly name: string | null;
  readonly available: number;
  readonly deviceApi: string | null;
}

interface DeviceJson {
  readonly uuid: string;
  readonly parent: string;
  readonly type: string | null;
  readonly driver: string | null;
  readonly iommuGroup: number | null;
}

function typesOf({ kernel }: Host): TypeJson[] {
  const bus = "/sys/class/mdev_bus";
  return namesIn(kernel, bus).flatMap((name) => {
    const types = `${bus}/${name}/mdev_supported_types`;
    const parent = parentName(linkTarget(kernel, `${bus}/${name}`) ?? name);
    return namesIn(kernel, types).map((type) => {
      const read = (name: string) =>
        ifPresent(() => kernel.readFile(`${types}/${type}/${name}`))?.trim();
      return {
        parent,
        type,
        name: read("name") ?? null,
        available: Number(read("available_instances") ?? 0),
        deviceApi: read("device_api") ?? null,
      };
    });
  });
}

function devicesOf(host: Host): DeviceJson[] {
  const { kernel } = host;
  const bus = "/sys/bus/mdev/devices";
  return namesIn(kernel, bus).map((uuid) => {
    const device = host.find(`${bus}/${uuid}`);
    const group = device.iommuGroup?.id;
    return {
      uuid,
      parent: parentName(dirname(device.path)),
      type: linkName(kernel, `${device.path}/mdev_type`) ?? null,
      driver: device.driver ?? null,
      iommuGroup: group === undefined ? null : Number(group),
    };
  });
}

function list(args: Arguments, host: Host, terminal: Terminal): number {
  const types = typesOf(host);
  const devices = devicesOf(host);
  if (args.has("json")) writeJson(terminal, { types, devices });
  else if (types.length + devices.length === 0) {
    terminal.warn("No device of this host can have mediated devices\n");
  } else {
    terminal.write(
      types.map(({ parent, type, name, available }) =>
        `${parent}  ${type}  ${available} available` +
        `${name === null ? "" : `  ${name}`}\n`
      ).join("") +
        devices.map(({ uuid, parent, type, driver }) =>
          `  ${uuid}  ${parent}  ${type}  ${driver ?? "no driver"}\n`
        ).join(""),
    );
  }
  return EXIT.DONE;
}
