/**
 * `/dev`: the nodes through which VFIO and iommufd are used.
 *
 * @module
 */

import { CdevFile } from "../vfio/cdev_file.ts";
import { ContainerFile } from "../vfio/container_file.ts";
import type {
  Directory,
  FileNode,
  OpenFile,
  Ownership,
  Process,
} from "./file.ts";
import { GroupFile } from "../vfio/group_file.ts";
import { IommufdFile } from "../iommu/iommufd_file.ts";
import type { Machine } from "../machine/machine.ts";
import { changeStatus, statusOf } from "./ownership.ts";
import { refuse } from "../process/refusal.ts";
import { mapDirectory, pathTree } from "./tree.ts";
import { cdevNumber, groupDeviceNumber, groupNodeName } from "../vfio/core.ts";

const S_IFCHR = 0o020000;

/** What a node is, and what opening it gives. */
interface NodeOptions {
  /** What it belongs to: its owner and mode are kept as long as that is there. */
  readonly subject: object;
  /** Permission bits. */
  readonly mode: number;
  /** `major:minor`. */
  readonly device: string;
  /** Opens it. */
  readonly open: (process: Process) => OpenFile;
}

/** What is in `/dev`: nodes, and directories as long as there is something in. */
interface Contents {
  readonly [name: string]: NodeOptions | Contents;
}

/** `/dev`. */
export function devtmpfs(machine: Machine): Directory {
  return pathTree([["/dev", view("/dev", () => contents(machine))]]);
}

function contents(machine: Machine): Contents {
  const { features } = machine;
  const iommu: NodeOptions = {
    subject: machine,
    mode: 0o660,
    device: "10:126",
    open: () => new IommufdFile(machine),
  };
  return {
    ...(features.iommufd && { iommu }),
    ...(machine.hasVfio && { vfio: vfioContents(machine) }),
  };
}

function vfioContents(machine: Machine): Contents {
  const groups: [string, NodeOptions][] = [...machine.groups.values()]
    .flatMap((group) => {
      const { node } = group;
      if (node === undefined) return [];
      return [[groupNodeName(group), {
        subject: node,
        mode: 0o600,
        device: groupDeviceNumber(node),
        open: (process) => new GroupFile(machine, group, process),
      }]];
    });
  const devices: [string, NodeOptions][] = [...machine.devices]
    .flatMap((device) => {
      const number = cdevNumber(machine, device);
      if (number === undefined) return [];
      return [[device.vfio!.name, {
        subject: device.vfio!,
        mode: 0o600,
        device: number,
        open: ({ uid }) =>
          device.vfio!.noIommu && uid !== 0
            ? refuse("EPERM")
            : new CdevFile(device),
      }]];
    });
  return {
    vfio: {
      subject: machine,
      mode: 0o666,
      device: "10:196",
      open: () => new ContainerFile(machine),
    },
    ...Object.fromEntries(groups),
    ...(devices.length > 0 && { devices: Object.fromEntries(devices) }),
  };
}

function view(path: string, contents: () => Contents): Directory {
  return mapDirectory(
    path,
    () => new Map(Object.entries(contents())),
    (entry, path) =>
      isNode(entry) ? node(entry, path) : view(path, () => entry),
  );
}

function isNode(entry: NodeOptions | Contents): entry is NodeOptions {
  return typeof entry["open"] === "function";
}

function node(options: NodeOptions, path: string): FileNode {
  const { subject, mode, device, open } = options;
  const initial = { mode: S_IFCHR | mode, uid: 0, gid: 0, device };
  return {
    kind: "file",
    get status() {
      return statusOf(subject, path, initial);
    },
    open,
    change: (to: Ownership) => changeStatus(subject, path, to),
  };
}
