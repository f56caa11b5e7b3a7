/**
 * A device's descriptor, from its group or its own node, with a method for each
 * ioctl.
 *
 * @module
 */
import type { Kernel, Mapping } from "../../mod.ts";
import { O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
import {
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import type { Decoded, Encodable, Struct } from "../../lib/uapi/layout.ts";
import {
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_bind_iommufd,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  vfio_device_detach_iommufd_pt,
  VFIO_DEVICE_FEATURE,
  vfio_device_feature,
  VFIO_DEVICE_GET_GFX_DMABUF,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  vfio_device_gfx_plane_info,
  vfio_device_info,
  VFIO_DEVICE_IOEVENTFD,
  vfio_device_ioeventfd,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  vfio_irq_info,
  vfio_irq_set,
  vfio_region_info,
} from "../../lib/uapi/vfio/all.ts";
import { KernelFile } from "./kernel_file.ts";

type FieldsOf<S> = S extends Struct<infer F> ? F : never;
type Values<S> = Encodable<FieldsOf<S>>;

/** A device's descriptor. */
export class DeviceFile extends KernelFile {
  /** VFIO_DEVICE_GET_INFO. */
  info(
    values: Values<typeof vfio_device_info> = {},
  ): Decoded<FieldsOf<typeof vfio_device_info>> {
    const argument = vfio_device_info.alloc(values);
    this.ioctl(VFIO_DEVICE_GET_INFO, argument);
    return vfio_device_info.decode(argument);
  }

  /** VFIO_DEVICE_GET_REGION_INFO, with room for capabilities. */
  region(
    values: Values<typeof vfio_region_info>,
  ): Decoded<FieldsOf<typeof vfio_region_info>> {
    const argument = vfio_region_info.alloc(values, ROOM);
    this.ioctl(VFIO_DEVICE_GET_REGION_INFO, argument);
    return vfio_region_info.decode(argument);
  }

  /** VFIO_DEVICE_GET_IRQ_INFO. */
  irq(
    values: Values<typeof vfio_irq_info>,
  ): Decoded<FieldsOf<typeof vfio_irq_info>> {
    const argument = vfio_irq_info.alloc(values);
    this.ioctl(VFIO_DEVICE_GET_IRQ_INFO, argument);
    return vfio_irq_info.decode(argument);
  }

  /** VFIO_DEVICE_SET_IRQS. */
  setIrqs(
    values: Values<typeof vfio_irq_set>,
    data: ArrayLike<number> & ArrayBufferView = new Uint8Array(),
  ): void {
    const head = vfio_irq_set.offset.data;
    const argument = new Uint8Array(head + data.byteLength);
    // The struct's tail padding is where its data begins.
    const argsz = argument.length;
    argument.set(vfio_irq_set.alloc({ argsz, ...values }).subarray(0, head));
    argument.set(new Uint8Array(data.buffer), head);
    this.ioctl(VFIO_DEVICE_SET_IRQS, argument);
  }

  /** VFIO_DEVICE_IOEVENTFD. */
  ioeventfd(values: Values<typeof vfio_device_ioeventfd>): void {
    this.ioctl(VFIO_DEVICE_IOEVENTFD, vfio_device_ioeventfd.alloc(values));
  }

  /** VFIO_DEVICE_QUERY_GFX_PLANE. */
  plane(
    values: Values<typeof vfio_device_gfx_plane_info>,
  ): Decoded<FieldsOf<typeof vfio_device_gfx_plane_info>> {
    const argument = vfio_device_gfx_plane_info.alloc(values);
    this.ioctl(VFIO_DEVICE_QUERY_GFX_PLANE, argument);
    return vfio_device_gfx_plane_info.decode(argument);
  }

  /** VFIO_DEVICE_GET_GFX_DMABUF. Returns the descriptor. */
  planeBuffer(id: number): number {
    const argument = new Uint8Array(new Uint32Array([id]).buffer);
    return this.ioctl(VFIO_DEVICE_GET_GFX_DMABUF, argument);
  }

  /**
   * VFIO_DEVICE_FEATURE.
   *
   * @param flags The feature's number, and `VFIO_DEVICE_FEATURE_*` bits.
   * @param data Its struct, into which the answer is put.
   * @param argsz Default: the right one.
   */
  feature(flags: number, data = new Uint8Array(), argsz?: number): number {
    const { size } = vfio_device_feature;
    const values = argsz === undefined ? { flags } : { flags, argsz };
    const argument = vfio_device_feature.alloc(values, data.length);
    argument.set(data, size);
    try {
      return this.ioctl(VFIO_DEVICE_FEATURE, argument);
    } finally {
      data.set(argument.subarray(size));
    }
  }

  /** VFIO_DEVICE_RESET. */
  async reset(): Promise<void> {
    await this.kernel.ioctlAsync(this.fd, VFIO_DEVICE_RESET);
  }

  /** Reads from a region. */
  read(region: number, offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const done = this.kernel.pread(this.fd, bytes, at(region, offset));
    return bytes.subarray(0, done);
  }

  /** Writes to a region, and returns how many bytes were written. */
  write(region: number, offset: number, bytes: Uint8Array): number {
    return this.kernel.pwrite(this.fd, bytes, at(region, offset));
  }

  /** Maps a part of a region. */
  mmap(region: number, offset: number, length: number): Mapping {
    const protection = PROT_READ | PROT_WRITE;
    return this.kernel.mmap(
      length,
      protection,
      MAP_SHARED,
      this.fd,
      at(region, offset),
    );
  }
}

/** `/dev/vfio/devices/vfioN`. */
export class Cdev extends DeviceFile {
  /**
   * @param kernel The system.
   * @param node Its path.
   */
  constructor(kernel: Kernel, node: string) {
    super(kernel, kernel.open(node, O_RDWR));
  }

  /** VFIO_DEVICE_BIND_IOMMUFD. Returns its id in the iommufd. */
  bind(
    { fd }: { readonly fd: number },
    values: Values<typeof vfio_device_bind_iommufd> = {},
  ): number {
    const argument = vfio_device_bind_iommufd.alloc({ iommufd: fd, ...values });
    this.ioctl(VFIO_DEVICE_BIND_IOMMUFD, argument);
    return vfio_device_bind_iommufd.decode(argument).out_devid;
  }

  /** VFIO_DEVICE_ATTACH_IOMMUFD_PT. Returns the page table's id. */
  attach(
    id: number,
    values: Values<typeof vfio_device_attach_iommufd_pt> = {},
  ): number {
    const argument = vfio_device_attach_iommufd_pt.alloc({
      pt_id: id,
      ...values,
    });
    this.ioctl(VFIO_DEVICE_ATTACH_IOMMUFD_PT, argument);
    return vfio_device_attach_iommufd_pt.decode(argument).pt_id;
  }

  /** VFIO_DEVICE_DETACH_IOMMUFD_PT. */
  detach(values: Values<typeof vfio_device_detach_iommufd_pt> = {}): void {
    const argument = vfio_device_detach_iommufd_pt.alloc(values);
    this.ioctl(VFIO_DEVICE_DETACH_IOMMUFD_PT, argument);
  }
}

/** The room for a region's capabilities, in bytes. */
const ROOM = 256;

/** The offset of a region's byte in a device's file, by vfio-pci's division. */
function at(region: number, offset: number): bigint {
  return (BigInt(region) << 40n) + BigInt(offset);
}
