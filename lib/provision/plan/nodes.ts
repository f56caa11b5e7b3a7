/**
 * Plans the owners and modes of VFIO nodes.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { HostDevice } from "../../host/device.ts";
import type { Host } from "../../host/host.ts";
import { nodePaths } from "../../host/iommu/nodes.ts";
import { ifPresent } from "../../host/sysfs.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { idOf } from "../steps/accounts.ts";
import { moves } from "./attributes.ts";
import type { NodeState } from "../state/state.ts";
import type { NodeStep } from "../steps/step.ts";
import { reasonFor, type Target } from "./target.ts";

/** What a node step sets. */
type Ownership = Pick<NodeStep, "uid" | "gid" | "mode">;

/**
 * Plans the changes of owner and mode of functions' nodes.
 *
 * @param host The host.
 * @param targets The functions.
 * @throws {TypeError} When two functions share a group's node and the state
 * gives them different owners or modes.
 * @throws {VfioError} `WRONG_DRIVER` when a function will have no VFIO driver,
 * and so no node; `NOT_SUPPORTED` when there is no such user or group.
 */
export function nodeSteps(
  host: Host,
  targets: readonly Target[],
): NodeStep[] {
  const groups = new Map<string, { at: string; text: string }>();
  return targets.flatMap((target) => {
    const { fn, address, at, state: { node, driver = fn?.driver } } = target;
    if (node === undefined) return [];
    if (driver === null || driver === undefined || !isVfioDriver(driver)) {
      throw new VfioError("WRONG_DRIVER", {
        device: address,
        problem: `it has no VFIO nodes, which ${at}.node needs, with ` +
          (driver ?? "no driver"),
        hint: `give its driver: "vfio-pci"`,
      });
    }
    const wanted = ownership(host, node, at);
    const text = JSON.stringify(wanted);
    const group = fn?.iommuGroup?.id;
    const earlier = group === undefined ? undefined : groups.get(group);
    if (earlier !== undefined && earlier.text !== text) {
      throw new TypeError(
        `${earlier.at}.node and ${at}.node are about the same node, ` +
          `/dev/vfio/${group}: expected the same`,
      );
    }
    if (group !== undefined) groups.set(group, { at, text });
    if (!moves(target) && fn !== undefined && holds(fn, wanted)) return [];
    return [{
      kind: "node",
      device: address,
      ...wanted,
      why: reasonFor(target, whyOf(node)),
    }];
  });
}

/**
 * Plans the change of owner and mode of a mediated device's nodes, if there is
 * one.
 *
 * @param host The host.
 * @param uuid Its UUID.
 * @param device The device; `undefined` when it does not exist yet.
 * @param node The owner and mode.
 * @param at Its place in the state, for errors.
 */
export function mediatedNodeSteps(
  host: Host,
  uuid: string,
  device: HostDevice | undefined,
  node: NodeState,
  at: string,
): NodeStep[] {
  const wanted = ownership(host, node, at);
  if (device !== undefined && holds(device, wanted)) return [];
  return [{ kind: "node", device: uuid, ...wanted, why: whyOf(node) }];
}

function ownership(
  { kernel }: Host,
  { owner, group, mode }: NodeState,
  at: string,
): Ownership {
  return {
    ...(owner !== undefined &&
      { uid: idOf(kernel, "user", owner, `${at}.node.owner`) }),
    ...(group !== undefined &&
      { gid: idOf(kernel, "group", group, `${at}.node.group`) }),
    ...(mode !== undefined && { mode: parseInt(mode, 8) }),
  };
}

function holds(device: HostDevice, { uid, gid, mode }: Ownership): boolean {
  const { kernel } = device.host;
  const paths = nodePaths([device]);
  return paths.length > 0 && paths.every((path) => {
    const now = ifPresent(() => kernel.stat(path));
    return now !== undefined && (uid ?? now.uid) === now.uid &&
      (gid ?? now.gid) === now.gid &&
      (mode === undefined || mode === (now.mode & 0o777));
  });
}

function whyOf({ owner, group, mode }: NodeState): string {
  const accounts = [
    ...(owner === undefined ? [] : [`user ${owner}`]),
    ...(group === undefined ? [] : [`group ${group}`]),
  ];
  const owners = accounts.length === 0
    ? `its mode should be ${mode}`
    : accounts.join(", ");
  return mode === undefined || accounts.length === 0
    ? owners
    : `${owners} may open it`;
}
