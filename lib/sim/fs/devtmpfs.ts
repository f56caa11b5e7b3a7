/**
 * Shows `/dev`: the nodes of VFIO and iommufd.
 *
 * @module
 */

import type { Device, Group } from "../driver/bus.ts";
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
import { KvmFile } from "../kvm/kvm.ts";
import { IommufdFile } from "../iommu/iommufd_file.ts";
import type { Machine } from "../machine/machine.ts";
import { changeStatus, statusOf } from "./ownership.ts";
import { refuse } from "../process/refusal.ts";
import { type Keyed, mapDirectory, only, pathTree, union } from "./tree.ts";
import {
  cdevNumber,
  groupDeviceNumber,
  groupsWithNode,
  vfioDevicesThat,
} from "../vfio/core.ts";

const S_IFCHR = 0o020000;

/** The properties of a node. */
interface NodeOptions {
  /** The subject that it belongs to. Changes of owner and mode last as long. */
  readonly subject: object;
  /** Permission bits. */
  readonly mode: number;
  /** `major:minor`. */
  readonly device: string;
  /** Opens it. */
  readonly open: (process: Process) => OpenFile;
}

const IOMMU_NUMBER = "10:126";
const VFIO_NUMBER = "10:196";
const KVM_NUMBER = "10:232";

/** Returns the numbers of the nodes that are `misc` devices, by their names. */
export function miscDevices(machine: Machine): Map<string, string> {
  const { features: { iommufd }, hasVfio } = machine;
  return new Map([
    ...iommufd ? [["iommu", IOMMU_NUMBER] as const] : [],
    ["kvm", KVM_NUMBER] as const,
    ...hasVfio ? [["vfio", VFIO_NUMBER] as const] : [],
  ]);
}

/** Makes `/dev`. Its directories exist while they have entries. */
export function devtmpfs(machine: Machine): Directory {
  const { features } = machine;
  const iommu: NodeOptions = {
    subject: machine,
    mode: 0o660,
    device: IOMMU_NUMBER,
    open: () => new IommufdFile(machine),
  };
  const kvm: NodeOptions = {
    subject: machine,
    mode: 0o660,
    device: KVM_NUMBER,
    open: () => new KvmFile(machine),
  };
  const vfio = vfioDirectory(machine, "/dev/vfio");
  return pathTree([[
    "/dev",
    union(
      mapDirectory(
        "/dev",
        () => only("iommu", features.iommufd ? iommu : undefined),
        node,
      ),
      mapDirectory("/dev", () => only("kvm", kvm), node),
      mapDirectory(
        "/dev",
        () => only("vfio", machine.hasVfio ? vfio : undefined),
        (directory) => directory,
      ),
    ),
  ]]);
}

function vfioDirectory(machine: Machine, path: string): Directory {
  const container: NodeOptions = {
    subject: machine,
    mode: 0o666,
    device: VFIO_NUMBER,
    open: () => new ContainerFile(machine),
  };
  const devices = mapDirectory(
    `${path}/devices`,
    () => cdevs(machine),
    (device, path) => node(cdevOptions(machine, device), path),
  );
  const hasDevices = () =>
    machine.vfioDevices.values()
      .some((device) => cdevNumber(machine, device) !== undefined);
  return union(
    mapDirectory(path, () => only("vfio", container), node),
    mapDirectory(
      path,
      () => groupsWithNode(machine),
      (group, path) => node(groupOptions(machine, group), path),
    ),
    mapDirectory(
      path,
      () => only("devices", hasDevices() ? devices : undefined),
      (directory) => directory,
    ),
  );
}

function groupOptions(machine: Machine, group: Group): NodeOptions {
  return {
    subject: group.node!,
    mode: 0o600,
    device: groupDeviceNumber(group.node!),
    open: (process) => new GroupFile(machine, group, process),
  };
}

/** Returns the devices with a node of their own, by its name. */
function cdevs(machine: Machine): Keyed<Device> {
  return vfioDevicesThat(
    machine,
    (device) => cdevNumber(machine, device) !== undefined,
  );
}

function cdevOptions(machine: Machine, device: Device): NodeOptions {
  return {
    subject: device.vfio!,
    mode: 0o600,
    device: cdevNumber(machine, device)!,
    open: ({ uid }) =>
      device.vfio!.noIommu && uid !== 0
        ? refuse("EPERM")
        : new CdevFile(device, machine.since(6, 17)),
  };
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
