/**
 * Steps that set the owner and mode of a device's nodes.
 *
 * @module
 */

import { VfioError } from "../../../errors.ts";
import type { HostDevice } from "../../../host/device.ts";
import type { Host } from "../../../host/host.ts";
import { nodePaths } from "../../../host/iommu/nodes.ts";
import {
  exists,
  ifPresent,
  realPath,
  sysfsError,
} from "../../../host/sysfs.ts";
import { type Ownership, setOwnership } from "../../../kernel/files.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import type { NodeStep } from "../step.ts";
import { changed, late, type StepKind } from "../kind.ts";

/** What each node was like, by its path. */
export type NodesBefore = Readonly<Record<string, Ownership>>;

const PERMISSIONS = 0o7777;

/** Steps that set the owner and mode of a device's nodes. */
export const nodeKind: StepKind<NodeStep, NodesBefore> = {
  holds({ host }, step) {
    const { kernel } = host;
    const device = findDevice(host, step.device);
    const nodes = device === undefined ? [] : nodePaths([device]);
    const allOwned = nodes.length > 0 &&
      nodes.every((path) => isOwnedAs(ownership(kernel, path), step));
    return Promise.resolve(allOwned);
  },

  async capture({ host, deadline }, { device }) {
    const { kernel } = host;
    const found = findDevice(host, device);
    const nodes = found === undefined ? [] : nodePaths([found]);
    if (nodes.length === 0) {
      throw new VfioError("WRONG_DRIVER", {
        device,
        problem: "it has no VFIO nodes whose owner could be changed",
        hint: "give it a VFIO driver",
      });
    }
    await deadline.until(
      () => nodes.every((path) => exists(kernel, path)) ? true : undefined,
      () => late(device, `${nodes.join(" and ")} did not appear`, deadline),
    );
    return Object.fromEntries(
      nodes.map((path) => [path, ownership(kernel, path)!]),
    );
  },

  make({ host: { kernel } }, step, before) {
    for (const path of Object.keys(before)) {
      const now = ownership(kernel, path);
      if (now !== undefined) {
        changeOwnership(kernel, path, { ...now, ...wantedOwnership(step) });
      }
    }
    return Promise.resolve();
  },

  undo({ host: { kernel } }, step, before, made) {
    for (const [path, was] of Object.entries(before)) {
      const now = ownership(kernel, path);
      if (now === undefined || isOwnedAs(now, was)) continue;
      if (made && !isBetween(now, was, step)) {
        throw changed(step.device, `the owner or mode of ${path} was changed`);
      }
      changeOwnership(kernel, path, was);
    }
    return Promise.resolve();
  },
};

function findDevice(host: Host, name: string): HostDevice | undefined {
  for (const bus of ["pci", "mdev"]) {
    const path = realPath(host.kernel, `/sys/bus/${bus}/devices/${name}`);
    if (path !== undefined) return host.deviceAt(path);
  }
  return undefined;
}

/** Reads the owner and mode of a node; `undefined` where it does not exist. */
function ownership(kernel: Kernel, path: string): Ownership | undefined {
  const status = ifPresent(() => kernel.stat(path));
  if (status === undefined) return undefined;
  const { uid, gid, mode } = status;
  return { uid, gid, mode: mode & PERMISSIONS };
}

function wantedOwnership({ uid, gid, mode }: NodeStep): Partial<Ownership> {
  return {
    ...uid === undefined ? {} : { uid },
    ...gid === undefined ? {} : { gid },
    ...mode === undefined ? {} : { mode },
  };
}

/** Whether each property of a node is either the old or the new one. */
function isBetween(
  now: Ownership,
  was: Ownership,
  { uid = was.uid, gid = was.gid, mode = was.mode }: NodeStep,
): boolean {
  return [was.uid, uid].includes(now.uid) && [was.gid, gid].includes(now.gid) &&
    [was.mode, mode].includes(now.mode);
}

/** Whether a node exists and has the properties that are given. */
function isOwnedAs(
  now: Ownership | undefined,
  { uid, gid, mode }: Partial<Ownership>,
): boolean {
  return now !== undefined && (uid ?? now.uid) === now.uid &&
    (gid ?? now.gid) === now.gid && (mode ?? now.mode) === now.mode;
}

function changeOwnership(kernel: Kernel, path: string, to: Ownership): void {
  try {
    setOwnership(kernel, path, to);
  } catch (error) {
    throw sysfsError(error);
  }
}
