/**
 * `/dev/vfio/devices/vfioN` (`drivers/vfio/device_cdev.c`).
 *
 * @module
 */

import type { Ioctl } from "../uapi/ioctl.ts";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_bind_iommufd,
  VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_detach_iommufd_pt,
  VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
} from "../uapi/vfio.ts";
import { inMemory, received } from "./argument.ts";
import type { Device, Group } from "./bus.ts";
import { DeviceFile } from "./device_file.ts";
import type { Process } from "./file.ts";
import type { Pages } from "./memory.ts";
import type { Ioas } from "./ioas.ts";
import { IommufdFile } from "./iommufd_file.ts";
import { refuse } from "./refusal.ts";

/** A device's own node, open: it is of use once it is bound to an iommufd. */
export class CdevFile extends DeviceFile {
  override readonly shown: string;
  #bound: { iommufd: IommufdFile; id: number } | undefined;
  #ioas: Ioas | undefined;

  /**
   * Opens a device's own node.
   *
   * @param device The device.
   */
  constructor(device: Device) {
    const vfio = device.vfio!;
    super(device, () => {
      this.#unbind();
      vfio.closed();
    });
    vfio.opened();
    this.shown = `/dev/vfio/devices/${vfio.name}`;
  }

  override ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | Promise<number> {
    if (operation.request === VFIO_DEVICE_BIND_IOMMUFD.request) {
      return this.#bind(argument, process);
    }
    if (this.#bound === undefined) return refuse("EINVAL");
    switch (operation.request) {
      case VFIO_DEVICE_ATTACH_IOMMUFD_PT.request:
        return this.#attach(argument, this.#bound.iommufd);
      case VFIO_DEVICE_DETACH_IOMMUFD_PT.request:
        return this.#detachRequested(argument);
      default:
        return super.ioctl(operation, argument, process);
    }
  }

  override pread(into: Uint8Array, offset: bigint): number {
    this.#assertBound();
    return super.pread(into, offset);
  }

  override pwrite(from: Uint8Array, offset: bigint): number {
    this.#assertBound();
    return super.pwrite(from, offset);
  }

  override mmap(length: number, offset: bigint): Pages {
    this.#assertBound();
    return super.mmap(length, offset);
  }

  #assertBound(): void {
    if (this.#bound === undefined) refuse("EINVAL");
  }

  #bind(argument: Uint8Array | bigint, process: Process): number {
    const { iommufd: fd, flags } = received(
      vfio_device_bind_iommufd,
      argument,
      VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN,
    );
    if (fd < 0 || flags !== 0) refuse("EINVAL");
    const { device } = this;
    const group = device.group!;
    if (group.opened) refuse("EBUSY");
    if (this.#bound !== undefined) refuse("EINVAL");
    const file = process.file(fd);
    if (!(file instanceof IommufdFile)) return refuse("EBADFD");
    if (device.vfio!.bound) refuse("EINVAL");
    group.claim(file);
    const id = file.bind();
    device.vfio!.bound = true;
    group.bound++;
    device.core.reset();
    this.#bound = { iommufd: file, id };
    const bytes = inMemory(argument);
    new DataView(bytes.buffer, bytes.byteOffset)
      .setUint32(vfio_device_bind_iommufd.offset.out_devid, id, true);
    return 0;
  }

  #attach(argument: Uint8Array | bigint, iommufd: IommufdFile): number {
    const { flags, pt_id } = received(
      vfio_device_attach_iommufd_pt,
      argument,
      VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
    );
    if (flags !== 0) refuse("EINVAL");
    const ioas = iommufd.pageTable(pt_id);
    if (ioas === this.#ioas) return 0;
    const group = this.device.group!;
    // A group moves as a whole, by its only attached device.
    const alone = this.#ioas !== undefined && group.attached === 1;
    if (group.attached > 0 && group.domain !== ioas.map && !alone) {
      refuse("EINVAL");
    }
    ioas.attach();
    this.#ioas?.detach();
    if (this.#ioas === undefined) group.attached++;
    this.#ioas = ioas;
    group.domain = ioas.map;
    return 0;
  }

  #detachRequested(argument: Uint8Array | bigint): number {
    const { flags } = received(
      vfio_device_detach_iommufd_pt,
      argument,
      VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
    );
    if (flags !== 0) refuse("EINVAL");
    this.#detach(this.device.group!);
    return 0;
  }

  #detach(group: Group): void {
    if (this.#ioas === undefined) return;
    this.#ioas.detach();
    this.#ioas = undefined;
    if (--group.attached === 0) group.domain = undefined;
  }

  #unbind(): void {
    if (this.#bound === undefined) return;
    const group = this.device.group!;
    this.#detach(group);
    this.device.vfio!.bound = false;
    this.#bound.iommufd.unbind(this.#bound.id);
    group.bound--;
    group.release();
    this.device.core.interrupts.clear();
  }
}
