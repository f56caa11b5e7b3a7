import type { Mappings } from "../mappings.ts";
import type { Members } from "../members.ts";
import type { SpaceContext } from "../space_context.ts";

/**
 * What tells which memory devices write: each device's own log, the IOMMU's
 * page tables (iommufd), or the container (legacy). Where nothing does, all
 * that is mapped is taken as written.
 */
export type DirtySource = "devices" | "hwpt" | "container" | "nothing";

/** How written memory is tracked. */
export interface DirtyStartOptions {
  /**
   * Who tells: the devices, or what the backend has for it. `"auto"` takes the
   * devices where each has a log, else what the backend has, else all memory as
   * written.
   *
   * @default {"auto"}
   */
  readonly by?: "auto" | "devices" | "iommu";
}

/** The address space, as what tracks its memory needs it. */
export interface TrackedSpace {
  /** What serves it in the kernel. */
  readonly context: SpaceContext;
  /** What is mapped. */
  readonly mappings: Mappings;
  /** Its devices. */
  readonly members: Members;
}
