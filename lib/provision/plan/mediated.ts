/**
 * Plans mediated devices (`drivers/vfio/mdev/mdev_sysfs.c`).
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { HostDevice } from "../../host/device.ts";
import type { Host } from "../../host/host.ts";
import { dirname } from "../../host/path.ts";
import {
  exists,
  ifPresent,
  linkName,
  namesIn,
  realPath,
} from "../../host/sysfs.ts";
import { mediatedNodeSteps } from "./nodes.ts";
import { select } from "../state/selector.ts";
import type { MediatedState, Selector } from "../state/state.ts";
import type { MediatedStep, NodeStep } from "../steps/step.ts";

const DEVICES = "/sys/bus/mdev/devices";

/**
 * Plans the mediated devices to make, and the access to their nodes.
 *
 * @param host The host.
 * @param states The mediated devices of the state.
 * @param moving Addresses of functions whose driver changes.
 * @throws {TypeError} When a UUID is given twice, or its parent gets another
 * driver.
 * @throws {VfioError} `DEVICE_NOT_FOUND`, `NOT_SUPPORTED`, or
 * `IDENTITY_CHANGED` when there is another device of that UUID.
 */
export function mediatedSteps(
  host: Host,
  states: readonly MediatedState[],
  moving: ReadonlySet<string>,
): (MediatedStep | NodeStep)[] {
  const seen = new Map<string, string>();
  const plannedCounts = new Map<string, number>();
  return states.flatMap((state, i) => {
    const at = `mediated[${i}]`;
    const uuid = state.uuid.toLowerCase();
    const earlier = seen.get(uuid);
    if (earlier !== undefined) {
      throw new TypeError(`${earlier} and ${at} are both ${uuid}`);
    }
    seen.set(uuid, at);
    const parent = parentOf(host, state.parent, `${at}.parent`);
    if (moving.has(parent.name)) {
      throw new TypeError(
        `${at}.parent: the driver of ${parent.name} changes in this state, ` +
          "and its mediated devices are its driver's: expected two states",
      );
    }
    const device = findMediated(host, uuid);
    const steps: (MediatedStep | NodeStep)[] = [];
    if (device === undefined) {
      const type = typeOf(host, parent, state.type, plannedCounts, at);
      steps.push({
        kind: "mediated device",
        device: uuid,
        parent: parent.path,
        type: state.type,
        why: `it does not exist, and ${parent.name} has room for ${type}`,
      });
    } else {
      assertSame(device, parent, state.type, at);
    }
    if (state.node !== undefined) {
      steps.push(...mediatedNodeSteps(host, uuid, device, state.node, at));
    }
    return steps;
  });
}

function parentOf(
  host: Host,
  parent: Selector,
  at: string,
): { readonly path: string; readonly name: string } {
  if (typeof parent !== "string" || !parent.startsWith("/")) {
    return select(host, parent, at);
  }
  const path = realPath(host.kernel, parent);
  if (path === undefined) {
    throw new VfioError("DEVICE_NOT_FOUND", {
      problem: `there is no ${parent} (${at})`,
      hint: "ls -l /sys/class/mdev_bus lists what makes mediated devices",
    });
  }
  return { path, name: path.slice(path.lastIndexOf("/") + 1) };
}

function findMediated(host: Host, uuid: string): HostDevice | undefined {
  const path = `${DEVICES}/${uuid}`;
  return exists(host.kernel, path) ? host.find(path) : undefined;
}

/**
 * Returns for how many mediated devices of a type there is room. It throws
 * where there is none.
 */
function typeOf(
  { kernel }: Host,
  parent: { readonly path: string; readonly name: string },
  type: string,
  plannedCounts: Map<string, number>,
  at: string,
): number {
  const types = `${parent.path}/mdev_supported_types`;
  const path = `${types}/${type}`;
  const text = ifPresent(() => kernel.readFile(`${path}/available_instances`));
  if (text === undefined) {
    const supported = namesIn(kernel, types);
    throw new VfioError("NOT_SUPPORTED", {
      device: parent.name,
      problem: `it makes no mediated devices of type ${type} (${at})`,
      hint: supported.length === 0
        ? "it makes none: is its driver loaded, with mediated devices enabled?"
        : `it makes ${supported.join(", ")}`,
    });
  }
  const before = plannedCounts.get(path) ?? 0;
  plannedCounts.set(path, before + 1);
  const room = Number(text) - before;
  if (room > 0) return room;
  throw new VfioError("NOT_SUPPORTED", {
    device: parent.name,
    problem: `it has no room for another mediated device of type ${type} ` +
      `(${at})`,
    hint: `present devices: ${
      namesIn(kernel, `${path}/devices`).join(", ") || "of other types"
    }`,
  });
}

function assertSame(
  { path, host, name }: HostDevice,
  parent: { readonly path: string },
  type: string,
  at: string,
): void {
  const found = linkName(host.kernel, `${path}/mdev_type`);
  const maker = dirname(path);
  if (found === type && maker === parent.path) return;
  throw new VfioError("IDENTITY_CHANGED", {
    device: name,
    problem: `it is not what ${at} says: expected type ${type} of ` +
      `${parent.path}, found type ${found} of ${maker}`,
    hint: `remove it: echo 1 > ${path}/remove`,
  });
}
