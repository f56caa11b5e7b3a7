/**
 * `/dev/vfio/$GROUP` (`drivers/vfio/group.c`).
 *
 * @module
 */

import type { Ioctl } from "../uapi/ioctl.ts";
import {
  VFIO_GROUP_FLAGS_CONTAINER_SET,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
  VFIO_GROUP_UNSET_CONTAINER,
} from "../uapi/vfio.ts";
import { inMemory, received, sizeOf } from "./argument.ts";
import type { Group } from "./bus.ts";
import { ContainerFile } from "./container_file.ts";
import { DeviceFile } from "./device_file.ts";
import type { OpenFile, Process } from "./file.ts";
import { refuse } from "./refusal.ts";

/** An open IOMMU group; its device files keep it open. */
export class GroupFile implements OpenFile {
  readonly shown: string;
  readonly #group: Group;
  #container: ContainerFile | undefined;
  /** Device files, and the group's own descriptor. */
  #users = 1;

  /**
   * Opens a group, where nobody has it open.
   *
   * @param group The group.
   * @param process Who opens it.
   */
  constructor(group: Group, process: Process) {
    if (group.noIommu && process.uid !== 0) refuse("EPERM");
    if (group.bound > 0 || group.opened) refuse("EBUSY");
    this.shown = `/dev/vfio/${group.noIommu ? "noiommu-" : ""}${group.id}`;
    this.#group = group;
    group.opened = true;
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
    const flags = this.#container !== undefined
      ? VFIO_GROUP_FLAGS_CONTAINER_SET | VFIO_GROUP_FLAGS_VIABLE
      : this.#group.claimed
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
    if (this.#container !== undefined) refuse("EINVAL");
    if (!(file instanceof ContainerFile)) refuse("EBADFD");
    file.attach(this.#group, process);
    this.#container = file;
    return 0;
  }

  #unsetContainer(): number {
    if (this.#container === undefined) refuse("EINVAL");
    if (this.#users > 1) refuse("EBUSY");
    this.#container.detach(this.#group);
    this.#container = undefined;
    return 0;
  }

  #getDevice(argument: Uint8Array | bigint, process: Process): number {
    const name = new TextDecoder().decode(inMemory(argument))
      .replace(/\0.*$/s, "");
    const device = [...this.#group.devices].find((device) =>
      device.vfio?.registered && device.name === name.split(" ")[0]
    );
    if (device === undefined) refuse("ENODEV");
    if (!this.#container?.ready) refuse("EINVAL");
    this.#users++;
    const { core } = device;
    const vfio = device.vfio!;
    if (!vfio.isOpen) core.reset();
    vfio.opened();
    return process.install(
      new DeviceFile(device, () => {
        vfio.closed();
        if (!vfio.isOpen) core.interrupts.clear();
        this.#put();
      }),
    );
  }

  #put(): void {
    if (--this.#users > 0) return;
    this.#container?.detach(this.#group);
    this.#container = undefined;
    this.#group.opened = false;
  }
}
