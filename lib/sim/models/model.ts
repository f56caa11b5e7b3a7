/**
 * What a simulated device is made of.
 *
 * @module
 */

/** What the bus does for a device. */
export interface DevicePort {
  /**
   * Reads memory by DMA.
   *
   * @returns The bytes, or `undefined` where the IOMMU blocks it.
   */
  dmaRead(iova: bigint, length: number): Uint8Array | undefined;
  /**
   * Writes memory by DMA.
   *
   * @returns Whether the IOMMU let it through.
   */
  dmaWrite(iova: bigint, bytes: Uint8Array): boolean;
  /** Sends MSI or MSI-X vector `vector`. */
  interrupt(vector: number): void;
  /** Drives the INTx line. */
  line(asserted: boolean): void;
}

/** A BAR of a device. */
export interface Bar {
  /** Its size in bytes, a power of two. */
  readonly size: number;
  /** Whether it can be mapped. */
  readonly mappable: boolean;
  /** Whether it is ports rather than memory. */
  readonly io?: boolean;
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
