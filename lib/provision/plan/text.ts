/**
 * Writes plans and steps as text.
 *
 * @module
 */

import { basename } from "../../host/path.ts";
import { printable } from "../../printable.ts";
import { breakLines, counted } from "../../text.ts";
import type { NodeStep, Step } from "../steps/step.ts";

/** The widest column, in characters. */
const WIDEST = 40;
/** The room that reasons have in a line, at least. */
const LEAST_ROOM = 30;

/**
 * Describes for people what a step does: `"driver vfio-pci"`.
 * {@linkcode stepSubject} names what it is done to.
 *
 * @param step The step.
 */
export function stepText(step: Step): string {
  return printable(doneText(step));
}

function doneText(step: Step): string {
  switch (step.kind) {
    case "attribute": {
      const { device = "", path, value } = step;
      const name = path.split(`/${device}/`).at(-1)!;
      return `${device === "" ? basename(path) : name} = ${value}`;
    }
    case "configuration":
      return step.settings.join(" ") +
        (step.atBoot === undefined ? "" : ", from the next boot on");
    case "driver":
      return step.driver === null ? "no driver" : `driver ${step.driver}`;
    case "file":
      return step.text === null
        ? "no file"
        : counted(step.text.split("\n").length - 1, "line");
    case "handoff":
      return `${step.format} of ${counted(step.devices.length, "device")}`;
    case "link":
      return `link to ${step.target}`;
    case "mediated device":
      return `mediated device ${step.type} of ${basename(step.parent)}`;
    case "module":
      return `module ${step.name}`;
    case "node":
      return `nodes ${ownershipText(step)}`;
    case "rom":
      return `ROM to ${step.path}`;
    case "vf network":
      return [
        ...step.mac === undefined ? [] : [`MAC ${step.mac}`],
        ...step.vlan === undefined
          ? []
          : [step.vlan === 0 ? "no VLAN" : `VLAN ${step.vlan}`],
      ].join(", ");
    case "virtual functions":
      return step.count === 0
        ? "no virtual functions"
        : counted(step.count, "virtual function");
  }
}

/** Names what a step changes: a device, a path, or the host. */
export function stepSubject(step: Step): string {
  return printable(step.device ?? subject(step));
}

function subject(step: Step): string {
  switch (step.kind) {
    case "attribute":
      return attributeSubject(step.path);
    case "configuration":
    case "file":
    case "handoff":
    case "link":
      return step.path;
    default:
      return "host";
  }
}

/**
 * Writes steps in columns, and a line that sums them up.
 *
 * @param steps The steps.
 * @param options Columns that lines are broken at, by default none; and what
 * the sum begins with.
 */
export function planText(
  steps: readonly Step[],
  { width = Infinity, label = "" }: {
    readonly width?: number;
    readonly label?: string;
  } = {},
): string {
  if (steps.length === 0) return "Nothing to do.";
  const rows = steps.map((step) => [stepSubject(step), stepText(step)]);
  // A path that is longer than its column widens its own line only.
  const columnWidth = (column: number) =>
    Math.max(
      ...rows.map((row) => row[column]!.length)
        .filter((length) => length <= WIDEST),
    );
  const lines = rows.flatMap(([subject = "", text = ""], i) => {
    const left = `${subject.padEnd(columnWidth(0))}  ${
      text.padEnd(columnWidth(1))
    }  `;
    const why = printable(steps[i]!.why);
    return width - left.length >= LEAST_ROOM
      ? breakLines(left, why, width)
      : [left.trimEnd(), ...breakLines("    ", why, width)];
  });
  const devices = new Set(steps.flatMap(({ device }) => device ?? [])).size;
  const sum = counted(steps.length, "step") +
    (devices === 0 ? "" : ` on ${counted(devices, "device")}`);
  return [...lines, `${label}${sum}.`].join("\n");
}

/** The pool of huge pages, with its NUMA node: `node0 hugepages-2048kB`. */
function attributeSubject(path: string): string {
  const [, node, pool] =
    /(?:\/(node\d+)\/hugepages|\/mm\/hugepages)\/([^/]+)\//.exec(path) ?? [];
  if (pool === undefined) return path;
  return node === undefined ? pool : `${node} ${pool}`;
}

function ownershipText({ uid, gid, mode }: NodeStep): string {
  const owner = uid === undefined && gid === undefined
    ? []
    : [`${uid ?? ""}:${gid ?? ""}`];
  return [
    ...owner,
    ...(mode === undefined ? [] : [mode.toString(8).padStart(4, "0")]),
  ].join(" ");
}
