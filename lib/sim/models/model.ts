/**
 * The interface of simulated devices.
 *
 * @module
 */

import type { MediatedDriver } from "./mediated_driver.ts";
import type { ModelLog, ModelMigration } from "./migration.ts";

/** The services of the bus for a device. */
export interface DevicePort {
  /**
   * Reads memory by DMA. Blocked parts read as 0.
   *
   * @returns Whether the IOMMU blocked none of it.
   */
  dmaRead(iova: bigint, into: Uint8Array): boolean;
  /**
   * Writes memory by DMA, except blocked parts.
   *
   * @returns Whether the IOMMU blocked none of it.
   */
  dmaWrite(iova: bigint, bytes: Uint8Array): boolean;
  /** Sends MSI or MSI-X vector `vector`. */
  interrupt(vector: number): void;
  /** Drives the INTx line. */
  line(asserted: boolean): void;
  /**
   * Whether MSI or MSI-X is enabled. The device must not drive the line then.
   */
  readonly sendsMessages: boolean;
}

/** A BAR of a device. */
export interface Bar {
  /** Its size in bytes, a power of two. */
  readonly size: number;
  /** Whether it can be mapped. */
  readonly mappable: boolean;
  /** Whether it is ports rather than memory. */
  readonly io?: boolean;
  /** Whether its address has 64 bits, which occupy the next number too. */
  readonly wide?: boolean;
  /** Whether reading it has no side effect. */
  readonly prefetchable?: boolean;
  /** Reads `width` bytes, little-endian. */
  read(offset: number, width: number): bigint;
  /** Writes `width` bytes, little-endian. */
  write(offset: number, width: number, value: bigint): void;
}

/** A region that the device's driver adds to the fixed ones. */
export interface AddedRegion extends Omit<Bar, "mappable"> {
  /** `VFIO_REGION_TYPE_*`. */
  readonly type: number;
  /** `VFIO_REGION_SUBTYPE_*`. */
  readonly subtype: number;
  /** Whether it can be written. Default: false. */
  readonly writable?: boolean;
}

/** A running device. */
export interface DeviceModel {
  /** Its BARs, by number. */
  readonly bars: readonly (Bar | undefined)[];
  /** The number of its MSI vectors; 0 for none. */
  readonly msi: number;
  /** The number of its MSI-X vectors; 0 for none. */
  readonly msix: number;
  /** Whether it has an INTx pin. */
  readonly intx: boolean;
  /** Its regions from index 9 on, as Intel's graphics have. Default: none. */
  readonly addedRegions?: readonly AddedRegion[];
  /**
   * The widths, in bits, of the AtomicOps that the root complex completes for
   * it. Default: none.
   */
  readonly atomics?: readonly (32 | 64 | 128)[];
  /**
   * Saves and loads its state. Of a PCI function, `vfio-pci` does not: bind it to
   * a driver made for it, such as `mlx5_vfio_pci`. Default: it cannot.
   */
  readonly migration?: ModelMigration;
  /** Logs its DMA, under the same drivers. Default: it cannot. */
  readonly log?: ModelLog;
  /** Resets it to its state at power-on. */
  reset(): void;
}

/** A running device, which can have a driver of its own. */
export interface DrivenModel extends DeviceModel {
  /** The driver of a mediated device. Default: it is used as by vfio-pci. */
  readonly driver?: MediatedDriver;
}

/** Returns the number of the BAR with the MSI-X table: the last memory BAR. */
export function msixBar({ bars, msix }: DeviceModel): number | undefined {
  if (msix === 0) return undefined;
  const last = bars.findLastIndex((bar) => bar !== undefined && !bar.io);
  return last < 0 ? undefined : last;
}

/** A kind of device, which makes devices. */
export interface DeviceKind {
  /** Its name in topologies. */
  readonly name: string;
  /** Vendor and device id, `"1234:11e8"`. */
  readonly id: string;
  /** Class code, 24 bits. */
  readonly class: number;
  /** Whether it is conventional PCI. Default: PCI Express. */
  readonly conventional?: boolean;
  /** Its reset methods, unless the topology says otherwise. */
  readonly resets: readonly string[];
  /** Makes a device on the bus. */
  create(port: DevicePort): DeviceModel;
}
