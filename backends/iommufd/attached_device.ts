import type { Fd } from "../../lib/kernel/fd.ts";
import type { PageTable } from "../backend.ts";

/** A device of the space, attached. */
export interface AttachedDevice {
  /** Its number in the iommufd. */
  readonly id: number;
  /** Its name. */
  readonly name: string;
  /** Its IOMMU group. */
  readonly group: string;
  /** Its descriptor. */
  readonly fd: Fd;
  /** Whether its driver does its DMA, so that it has no page table. */
  readonly mediated: boolean;
  /** The page table that it was attached to in place of the IOAS. */
  readonly table: PageTable | undefined;
}
