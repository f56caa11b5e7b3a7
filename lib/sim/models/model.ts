/**
 * What a simulated device is made of.
 *
 * @module
 */

/** What the bus does for a device. */
export interface DevicePort {
  /**
   * Reads memory by DMA. What the IOMMU blocks reads as 0.
   *
   * @returns Whether it let all of it through.
   */
  dmaRead(iova: bigint, into: Uint8Array): boolean;
  /**
   * Writes memory by DMA, but for what the IOMMU blocks.
   *
   * @returns Whether it let all of it through.
   */
  dmaWrite(iova: bigint, bytes: Uint8Array): boolean;
  /** Sends MSI or MSI-X vector `vector`. */
  interrupt(vector: number): void;
  /** Drives the INTx line. */
  line(asserted: boolean): void;
  /** Whether MSI or MSI-X is switched on, and the line is not to be driven. */
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
  /** Whether its address has 64 bits, and takes the next number too. */
  readonly wide?: boolean;
  /** Whether reading it has no side effect. */
  readonly prefetchable?: boolean;
  /** Reads `width` bytes, little-endian. */
  read(offset: number, width: number): bigint;
  /** Writes `width` bytes, little-endian. */
  write(offset: number, width: number, value: bigint): void;
}

/** A device at work. */
export interface DeviceModel {
  /** Its BARs, by number. */
  readonly bars: readonly (Bar | undefined)[];
  /** How many MSI vectors it has; 0 for none. */
  readonly msi: number;
  /** How many MSI-X vectors it has; 0 for none. */
  readonly msix: number;
  /** Whether it has an INTx pin. */
  readonly intx: boolean;
  /** Back to how it was at power-on. */
  reset(): void;
}

/** Which BAR has a device's MSI-X table: its last one that is memory. */
export function msixBar({ bars, msix }: DeviceModel): number | undefined {
  if (msix === 0) return undefined;
  const last = bars.findLastIndex((bar) => bar !== undefined && !bar.io);
  return last < 0 ? undefined : last;
}

/** Makes a device of this kind. */
export interface DeviceKind {
  /** What a topology calls it. */
  readonly name: string;
  /** Vendor and device id, `"1234:11e8"`. */
  readonly id: string;
  /** Class code, 24 bits. */
  readonly class: number;
  /** Whether it is conventional PCI. Default: PCI Express. */
  readonly conventional?: boolean;
  /** Whether it can be reset by itself, unless the topology says otherwise. */
  readonly resets: readonly string[];
  /** Puts one onto the bus. */
  create(port: DevicePort): DeviceModel;
}
