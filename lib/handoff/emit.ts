/**
 * Writes devices for those who take them from a host's administrator.
 *
 * @module
 */

import type { HostDevice } from "../host/device.ts";
import { shortJson } from "../printable.ts";
import { nearest } from "../suggest.ts";
import { counted } from "../text.ts";
import {
  assertIsVersion,
  type Emitted,
  type Format,
  type HandoffFormat,
  type HandoffOptions,
  inexpressible,
} from "./format.ts";
import { FORMATS } from "./formats.ts";
import { type Handed, handedNow } from "./handed.ts";

/** The names of the formats. */
export const HANDOFF_FORMATS: readonly HandoffFormat[] = Object.keys(
  FORMATS,
) as HandoffFormat[];

/**
 * Writes devices in the format of a consumer: `"libvirt"`, `"cdi"` and so on.
 * The text is valid for the consumer, also by rules that its schema does not
 * have.
 *
 * @param format The format.
 * @param devices The devices. Most formats want them bound to VFIO drivers.
 * @param options What the format has: iommufd, names, the consumer's version.
 * @returns The text, and what whoever uses it has to know.
 * @throws {TypeError} When there is no such format, no device, or one twice, or
 * when an option does not exist or has no value that the consumer takes.
 * @throws {VfioError} `NOT_SUPPORTED` when the format, or the consumer's
 * version, cannot express it; `WRONG_DRIVER` or `BACKEND_UNAVAILABLE` when a
 * device has no node that the format names.
 *
 * @example A specification by which podman gives a function to a container
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { emit } from "@passthru/vfio/handoff";
 *
 * await using taken = await new Host().take("0000:01:00.0");
 * console.log(emit("cdi", [taken.device], { name: "example.com/nic" }).text);
 * ```
 */
export function emit(
  format: HandoffFormat,
  devices: readonly HostDevice[],
  options: HandoffOptions = {},
): Emitted {
  return emitHanded(format, devices.map(handedNow), options);
}

/**
 * Does the same as {@linkcode emit} with devices as they are, or will be.
 *
 * @param format The format.
 * @param devices The devices.
 * @param options The same as for {@linkcode emit}.
 */
export function emitHanded(
  format: HandoffFormat,
  devices: readonly Handed[],
  options: HandoffOptions,
): Emitted {
  const { write, options: known } = formatOf(format);
  const [first] = devices;
  if (first === undefined) throw new TypeError("No device to hand over");
  assertOnce(devices);
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    assertOption(key, value);
    if (value === false) continue;
    if (known.includes(key as keyof HandoffOptions)) continue;
    throw inexpressible(
      undefined,
      `${format} has no ${key}`,
      `leave it out; with it there are ${withOption(key).join(", ")}`,
    );
  }
  if (options.consumer !== undefined) assertIsVersion(options.consumer);
  return write({ host: first.device.host, devices, options });
}

/** Whether a text is the name of a format. */
function isFormat(name: string): name is HandoffFormat {
  return Object.hasOwn(FORMATS, name);
}

/** What the value of each option is. */
const VALUES: Readonly<
  Record<keyof HandoffOptions, readonly [string, (value: unknown) => boolean]>
> = {
  iommufd: ["true or false", isBoolean],
  managed: ["true or false", isBoolean],
  name: ["a text", isText],
  node: ["a text", isText],
  consumer: ['a text such as "9.0"', isText],
  command: [
    "a list of words",
    (value) => Array.isArray(value) && value.every(isText),
  ],
};

function isBoolean(value: unknown): boolean {
  return typeof value === "boolean";
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

/** Refuses what only a script without types can give. */
function assertOption(key: string, value: unknown): void {
  const names = Object.keys(VALUES);
  if (!names.includes(key)) {
    throw new TypeError(
      `There is no option ${shortJson(key)}: expected ${names.join(", ")}`,
    );
  }
  const [expected, isRight] = VALUES[key as keyof HandoffOptions];
  if (isRight(value)) return;
  throw new TypeError(
    `The option ${key} is ${shortJson(value)}: expected ${expected}`,
  );
}

function formatOf(name: string): Format {
  if (isFormat(name)) return FORMATS[name];
  const similar = nearest(name, HANDOFF_FORMATS);
  throw new TypeError(
    `There is no format ${shortJson(name)}: expected one of ${
      HANDOFF_FORMATS.join(", ")
    }${similar === undefined ? "" : `; did you mean "${similar}"?`}`,
  );
}

function withOption(key: string): HandoffFormat[] {
  return HANDOFF_FORMATS.filter((name) =>
    formatOf(name).options.some((option) => option === key)
  );
}

function assertOnce(devices: readonly Handed[]): void {
  const names = devices.map(({ device }) => device.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new TypeError(
    `${twice} is there twice, of ${counted(names.length, "device")}`,
  );
}
