/**
 * Attaches functions that no IOMMU isolates.
 *
 * @module
 */
import { AddressSpace, type BackendName, VfioDevice } from "../../mod.ts";
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
  const { host } = setup;
  const fn = await setup.take("edu0");
  const space = new AddressSpace({ host, backend, unsafeNoIommu: true });
  return { space, device: await VfioDevice.attach(fn, space) };
}
