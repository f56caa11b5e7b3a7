/**
 * Simulates `/dev/vfio/$GROUP` (`drivers/vfio/group.c`).
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
  VFIO_GROUP_UNSET_CONTAINER,
} from "../../uapi/vfio/all.ts";
import { inMemory, received, sizeOf } from "../process/argument.ts";
import type { Group, GroupNode } from "../driver/bus.ts";
import { ContainerFile } from "./container_file.ts";
import { DeviceFile } from "./device_file.ts";
import type { OpenFile, Process } from "../fs/file.ts";
import type { Machine } from "../machine/machine.ts";
import { refuse } from "../process/refusal.ts";
import { groupNodeName } from "./core.ts";
import { matchToken, tokenOption } from "./vf_token.ts";

/** An open IOMMU group. Its device files keep it open. */
export class GroupFile implements OpenFile {
  readonly #path: string;
  readonly #machine: Machine;
  /** The group. */
  readonly group: Group;
  readonly #node: GroupNode;
  #container: ContainerFile | undefined;
  /** The number of device files, and the group's own descriptor. */
  #users = 1;

  /**
   * Opens a group that is not open yet.
   *
   * @param machine The machine it is on.
   * @param group The group.
   * @param process The process that opens it.
   */
  constructor(machine: Machine, group: Group, process: Process) {
    if (group.noIommu && process.uid !== 0) refuse("EPERM");
    const node = group.node ?? refuse("ENODEV");
    if (node.bound > 0 || node.holder !== undefined) refuse("EBUSY");
    this.#path = `/dev/vfio/${groupNodeName(group)}`;
    this.#machine = machine;
    this.group = group;
    this.#node = node;
    node.holder = this;
  }

  get linkText(): string {
    return this.#gone ? `${this.#path} (deleted)` : this.#path;
  }

  /**
   * Called when the last device of the group left VFIO and its node was
   * removed.
   */
  revoked(): void {
    this.#leave();
  }

  get #gone(): boolean {
    return this.group.node !== this.#node;
  }

  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    switch (operation.request) {
      case VFIO_GROUP_GET_STATUS.request:
        return this.#getStatus(argument);
      case VFIO_GROUP_SET_CONTAINER.request:
        return this.#setContainer(argument, process);
      case VFIO_GROUP_UNSET_CONTAINER.request:
        return this.#unsetContainer();
      case VFIO_GROUP_GET_DEVICE_FD.request:
        return this.#getDevice(argument, process);
      default:
        return refuse("ENOTTY");
    }
  }

  close(): void {
    this.#put();
  }

  #getStatus(argument: Uint8Array | bigint): number {
    received(vfio_group_status, argument);
    if (this.#gone) refuse("ENODEV");
    const flags = this.#container !== undefined
      ? VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE
      : this.group.claimed
      ? 0
      : VFIO_GROUP_FLAGS_VIABLE;
    const argsz = sizeOf(argument);
    vfio_group_status.encode(inMemory(argument), { argsz, flags });
    return 0;
  }

  #setContainer(argument: Uint8Array | bigint, process: Process): number {
    const bytes = inMemory(argument);
    const fd = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
    const file = process.file(fd);
    if (this.#gone) refuse("ENODEV");
    if (this.#container !== undefined) refuse("EINVAL");
    if (!(file instanceof ContainerFile)) {
      return refuse(this.#machine.since(6, 2) ? "EBADFD" : "EINVAL");
    }
    file.attach(this.group, process);
    this.#container = file;
    return 0;
  }

  #unsetContainer(): number {
    if (this.#container === undefined) refuse("EINVAL");
    if (this.#users > 1) refuse("EBUSY");
    this.#container.detach(this.group);
    this.#container = undefined;
    return 0;
  }

  #getDevice(argument: Uint8Array | bigint, process: Process): number {
    const text = new TextDecoder().decode(inMemory(argument))
      .replace(/\0.*$/s, "");
    const [name, ...options] = text.split(" ");
    if (this.#gone) refuse("ENODEV");
    const device = [...this.#node.devices].find((device) =>
      device.vfio!.registered && device.name === name
    );
    if (device === undefined) refuse("ENODEV");
    matchToken(device, tokenOption(device, options));
    if (!this.#container?.ready) refuse("EINVAL");
    this.#users++;
    const file = new DeviceFile(device, () => this.#put());
    file.grant();
    return process.install(file);
  }

  #put(): void {
    if (--this.#users > 0) return;
    this.#leave();
    this.#node.holder = undefined;
  }

  #leave(): void {
    this.#container?.detach(this.group);
    this.#container = undefined;
  }
}
