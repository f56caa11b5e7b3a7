/**
 * iommufd's objects, on the kernel's mock IOMMU: what no IOMMU of QEMU has.
 * One module, as loading one takes longer than most of its tests.
 */
import "./iommufd/areas.ts";
import "./iommufd/page_tables.ts";
import "./iommufd/nested.ts";
import "./iommufd/page_requests.ts";
import "./iommufd/pasids.ts";
import "./iommufd/virtual.ts";
import "./iommufd/lifetimes.ts";
import "./iommufd/process.ts";
import "./iommufd/allocations.ts";
import "./iommufd/random.ts";
