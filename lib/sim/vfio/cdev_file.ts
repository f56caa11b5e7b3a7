/**
 * Simulates `/dev/vfio/devices/vfioN` (`drivers/vfio/device_cdev.c`).
 *
 * @module
 */

import type { Ioctl } from "../../uapi/ioctl.ts";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_ATTACH_PASID,
  VFIO_DEVICE_BIND_FLAG_TOKEN,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_bind_iommufd,
  VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_detach_iommufd_pt,
  VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_DETACH_PASID,
} from "../../uapi/vfio/all.ts";
import { put32, received, sizeOf } from "../process/argument.ts";
import type { Device, GroupNode } from "../driver/bus.ts";
import { DeviceFile } from "./device_file.ts";
import type { Process } from "../fs/file.ts";
import type { HotResetOwner } from "./hot_reset.ts";
import { IommufdFile } from "../iommu/iommufd_file.ts";
import type { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";
import { matchToken, TOKEN_BYTES } from "./vf_token.ts";

/** The iommufd that a device is bound to, and its id there. */
interface Binding {
  readonly iommufd: IommufdFile;
  readonly id: number;
  readonly node: GroupNode;
}

/** A device's own node, open. It can be used once it is bound to an iommufd. */
export class CdevFile extends DeviceFile {
  override readonly linkText: string;
  readonly #takesToken: boolean;
  #binding: Binding | undefined;

  /**
   * Opens a device's own node.
   *
   * @param device The device.
   * @param takesToken Whether it takes a VF's token as it is bound.
   */
  constructor(device: Device, takesToken: boolean) {
    super(device, () => this.#unbind());
    this.#takesToken = takesToken;
    this.linkText = `/dev/vfio/devices/${device.vfio!.name}`;
  }

  protected override get owner(): HotResetOwner {
    const { iommufd } = this.#binding!;
    return { deviceId: (device) => iommufd.deviceId(device) };
  }

  override ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | Promise<number> {
    if (operation.request === VFIO_DEVICE_BIND_IOMMUFD.request) {
      return this.#bind(argument, process);
    }
    const { iommufd } = this.#binding ?? refuse("EINVAL");
    switch (operation.request) {
      case VFIO_DEVICE_ATTACH_IOMMUFD_PT.request:
        return this.#attach(argument, iommufd);
      case VFIO_DEVICE_DETACH_IOMMUFD_PT.request:
        return this.#detach(argument, iommufd);
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
    if (this.#binding === undefined) refuse("EINVAL");
  }

  #bind(argument: Uint8Array | bigint, process: Process): number {
    const least = VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN;
    const bind = received(vfio_device_bind_iommufd, argument, least);
    const { iommufd: fd, flags, token_uuid_ptr } = bind;
    const known = this.#takesToken ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0;
    if (fd < 0 || (flags & ~known) !== 0) refuse("EINVAL");
    const { device } = this;
    const node = device.group!.node!;
    if (node.holder !== undefined) refuse("EBUSY");
    if (this.#binding !== undefined) refuse("EINVAL");
    if ((flags & VFIO_DEVICE_BIND_FLAG_TOKEN) !== 0) {
      if (!this.#isPci) refuse("EINVAL");
      const token = process.memory.buffer(token_uuid_ptr);
      matchToken(device, token.slice(0, TOKEN_BYTES));
    } else if (this.#takesToken) matchToken(device, undefined);
    const file = process.file(fd);
    if (!(file instanceof IommufdFile)) return refuse("EBADFD");
    if (device.vfio!.users > 0) refuse("EINVAL");
    const id = file.bind(device);
    node.bound++;
    this.#binding = { iommufd: file, id, node };
    this.grant();
    put32(argument, vfio_device_bind_iommufd.offset.out_devid, id);
    return 0;
  }

  #attach(argument: Uint8Array | bigint, iommufd: IommufdFile): number {
    const layout = vfio_device_attach_iommufd_pt;
    const least = VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID;
    const { flags, pt_id } = received(layout, argument, least);
    if ((flags & ~VFIO_DEVICE_ATTACH_PASID) !== 0) refuse("EINVAL");
    if ((flags & VFIO_DEVICE_ATTACH_PASID) !== 0) {
      if (!this.#isPci) refuse("EOPNOTSUPP");
      if (sizeOf(argument) < layout.size) refuse("EINVAL");
      iommufd.assertThere(pt_id);
      // The IOMMU has no page tables for single PASIDs.
      refuse("EINVAL");
    }
    const id = iommufd.attach(this.device, pt_id);
    put32(argument, layout.offset.pt_id, id);
    return 0;
  }

  #detach(argument: Uint8Array | bigint, iommufd: IommufdFile): number {
    const layout = vfio_device_detach_iommufd_pt;
    const least = VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID;
    const { flags } = received(layout, argument, least);
    if ((flags & ~VFIO_DEVICE_DETACH_PASID) !== 0) refuse("EINVAL");
    if ((flags & VFIO_DEVICE_DETACH_PASID) === 0) iommufd.detach(this.device);
    else if (!this.#isPci) refuse("EOPNOTSUPP");
    else if (sizeOf(argument) < layout.size) refuse("EINVAL");
    return 0;
  }

  /** Whether it is on vfio-pci. Drivers of mediated devices support less. */
  get #isPci(): boolean {
    return this.device.group!.kind !== "emulated";
  }

  #unbind(): void {
    if (this.#binding === undefined) return;
    const { iommufd, id, node } = this.#binding;
    iommufd.unbind(this.device, id);
    node.bound--;
  }
}
