import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from "../../uapi/pci/regs.ts";
import type { Bar } from "./model.ts";

/** `DRM_FORMAT_XRGB8888` of `drm_fourcc.h`: `"XR24"`. */
export const XRGB8888 = 0x3432_5258;
/** `offsetofend(struct vfio_device_gfx_plane_info, region_index)` */
export const PLANE_INFO_SIZE = 60;

/** The memory of a display. */
export class FrameBuffer implements Bar {
  readonly mappable = true;
  readonly size: number;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #view: DataView | undefined;

  /** @param size Its size in bytes. */
  constructor(size: number) {
    this.size = size;
  }

  /** Its contents. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#bytes === undefined) {
      this.#bytes = new Uint8Array(this.size);
      this.#view = new DataView(this.#bytes.buffer);
    }
    return this.#bytes;
  }

  /** Clears it. */
  clear(): void {
    this.#bytes = this.#view = undefined;
  }

  read(offset: number, width: number): bigint {
    const { bytes } = this;
    // A picture is read by many of these.
    if (width === 8) return this.#view!.getBigUint64(offset, true);
    let value = 0n;
    for (let i = width - 1; i >= 0; i--) {
      value = value << 8n | BigInt(bytes[offset + i]!);
    }
    return value;
  }

  write(offset: number, width: number, value: bigint): void {
    const { bytes } = this;
    for (let i = 0; i < width; i++) {
      bytes[offset + i] = Number(value >> BigInt(8 * i) & 0xffn);
    }
  }
}

/**
 * Writes the config space of a display, as the kernel's samples make it.
 *
 * @param config Config space.
 * @param vendor Vendor id.
 * @param device Device id.
 */
export function putDisplayConfig(
  config: DataView,
  vendor: number,
  device: number,
): void {
  config.setUint16(PCI_VENDOR_ID, vendor, true);
  config.setUint16(PCI_DEVICE_ID, device, true);
  config.setUint16(PCI_SUBSYSTEM_VENDOR_ID, 0x1af4, true);
  config.setUint16(PCI_SUBSYSTEM_ID, 0x1100, true);
  config.setUint16(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, true);
  config.setUint32(PCI_CLASS_REVISION, 0x0380_0001, true);
  config.setUint32(PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_PREFETCH, true);
}
