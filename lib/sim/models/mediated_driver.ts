import type { Ioctl } from "../../uapi/ioctl.ts";
import type { Process } from "../fs/file.ts";
import type { Pages } from "../process/memory.ts";

/**
 * The driver of a mediated device, which answers in place of vfio-pci
 * (`struct vfio_device_ops`).
 */
export interface MediatedDriver {
  /** Answers an ioctl; `undefined` for one that it does not know. */
  ioctl(
    operation: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | undefined;
  /** Reads at an offset of the device's file. */
  pread(into: Uint8Array, offset: bigint): number;
  /** Writes at an offset of the device's file. */
  pwrite(from: Uint8Array, offset: bigint): number;
  /** Returns the memory of a part of the device's file. */
  mmap(length: number, offset: bigint): Pages;
  /** Called when the last user of the device is gone. */
  closed(): void;
}
