import type { Kernel } from "../lib/kernel/kernel.ts";
import type {
  BackendName,
  ContainerVersion,
  IommuContext,
  Mapped,
  SharedIommufd,
} from "./backend.ts";
import { IommufdContext } from "./iommufd/context.ts";
import { LegacyContext } from "./legacy/context.ts";
import { type1 } from "./legacy/type1.ts";
import { NO_IOMMU } from "./no_iommu/no_iommu.ts";

/**
 * Makes the context of a backend, without asking the kernel anything yet.
 *
 * @param backend The backend.
 * @param kernel The system that is asked.
 * @param noIommu Whether it is for devices without an IOMMU.
 * @param mapped What is mapped in the address space.
 * @param shared The iommufd that it lives in, where that was passed in.
 * @param version The version of its container, where one is wanted.
 */
export function createContext(
  backend: BackendName,
  kernel: Kernel,
  noIommu: boolean,
  mapped: Mapped,
  shared?: SharedIommufd,
  version?: ContainerVersion,
): IommuContext {
  return backend === "iommufd"
    ? new IommufdContext(kernel, noIommu, mapped, shared)
    : new LegacyContext(kernel, noIommu ? NO_IOMMU : type1(version), mapped);
}
