import type { IoMap } from "./io_map.ts";

/** The mappings that a group's devices use. */
export interface Domain {
  /** The mappings. */
  readonly map: IoMap;
  /**
   * Notes a write of a device.
   *
   * @param iova Where.
   * @param length How many bytes.
   * @param translated Whether it went through the IOMMU.
   */
  wrote?(iova: bigint, length: number, translated: boolean): void;
}
