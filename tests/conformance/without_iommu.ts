/**
 * Attaches functions that no IOMMU isolates.
 *
 * @module
 */
import type { AddressSpace, BackendName, VfioDevice } from "../../mod.ts";
import { since } from "./bench.ts";
import type { Setup } from "./setup.ts";

/** The backends that serve a device without an IOMMU. */
export function backendsOf({ bench }: Setup): BackendName[] {
  return since(bench.release, 7, 3) ? ["legacy", "iommufd"] : ["legacy"];
}

/** Takes a function and attaches it without an IOMMU. */
export async function attachUnsafely(
  setup: Setup,
  backend: BackendName,
): Promise<{ space: AddressSpace; device: VfioDevice }> {
  const space = setup.space({ backend, unsafeNoIommu: true });
  return { space, device: await setup.attach("edu0", space) };
}
