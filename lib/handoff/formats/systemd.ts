/**
 * A systemd unit that owns devices while it runs: it binds them when it starts,
 * and gives them back when it stops. Another unit that uses them has
 * `BindsTo=` and `After=` it.
 *
 * Rules: systemd.exec(5) and systemd.service(5); tried with systemd 252.
 *
 * @module
 */

import { idPair } from "../../hex.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { shortJson } from "../../printable.ts";
import type { Emitted, Format, Handoff } from "../format.ts";
import {
  functionOf,
  type Handed,
  isMediated,
  mediatedType,
} from "../handed.ts";

/** A unit. */
export const SYSTEMD: Format = {
  about: "a systemd unit that owns the devices while it runs",
  options: ["name", "command"],
  write,
};

function write({ devices, options }: Handoff): Emitted {
  const { name = "passthru", command = ["passthru"] } = options;
  if (!/^[A-Za-z0-9_][\w.-]{0,63}$/.test(name)) {
    throw new TypeError(
      `The name is ${shortJson(name)}: expected letters, digits and . _ -`,
    );
  }
  const state = {
    functions: devices.filter((each) => !isMediated(each, "systemd"))
      .map(functionState),
    mediated: devices.filter((each) => isMediated(each, "systemd"))
      .map(mediatedState),
  };
  const run = (...args: string[]) =>
    [programOf(command), ...command.slice(1), ...args].map(word).join(" ");
  const text = `[Unit]
Description=Device passthrough: ${
    devices.map(({ device }) => device.name).join(" ")
  }
After=systemd-modules-load.service

[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=data
StandardInputText=${inputText(JSON.stringify(state))}
ExecStart=${run("apply", "--name", name, "-")}
ExecStop=${run("restore", "--name", name)}
`;
  return {
    text,
    notes: [
      `install it as /etc/systemd/system/${name}.service, and give the unit ` +
      `that uses the devices BindsTo=${name}.service and After=${name}.service`,
    ],
  };
}

function functionState(handed: Handed): unknown {
  const { address, vendor, device } = functionOf(handed, "systemd");
  const { driver } = handed;
  return {
    select: address,
    pin: { id: idPair(vendor, device) },
    driver: driver !== undefined && isVfioDriver(driver) ? driver : "vfio-pci",
  };
}

function mediatedState({ device }: Handed): unknown {
  const { parent, type } = mediatedType(device);
  const address = /[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.exec(parent);
  return { uuid: device.name, parent: address?.[0] ?? parent, type };
}

/** Escapes a text for a setting that expands specifiers and C escapes. */
function inputText(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("%", "%%");
}

/** The program: a path, or a name that systemd looks up. */
function programOf([program = ""]: readonly string[]): string {
  if (/^(\/.+|[^/]+)$/.test(program) && !/^[-@:+!|]/.test(program)) {
    return program;
  }
  throw new TypeError(
    `The command is ${shortJson(program)}: expected an absolute path or a name`,
  );
}

function word(text: string): string {
  if (!/[\n\0]/.test(text)) return quoteWord(text);
  throw new TypeError(
    `The command has ${shortJson(text)}: expected words of one line`,
  );
}

/**
 * Quotes a word of a command line for systemd (systemd.service(5)).
 *
 * @param text The word, without line breaks.
 */
export function quoteWord(text: string): string {
  const escaped = text.replaceAll("%", "%%").replaceAll("$", "$$$$");
  if (/^[\w%$+,./:=@-]+$/.test(escaped)) return escaped;
  return `"${escaped.replace(/["\\]/g, "\\$&")}"`;
}
