/** What only the driver of an IOMMU understands. */
export interface DriverData {
  /** What the bytes are: one of the kernel's numbers for this call. */
  readonly type: number;
  /** The struct of that type; none where it has none. */
  readonly bytes?: Uint8Array;
}
