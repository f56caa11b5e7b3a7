/**
 * Every module that the backends load beside those of `lib/host/preload.ts`,
 * which says what such a list is for, and of `lib/device/preload.ts`.
 *
 * @module
 */

import "./argument.ts";
import "./create.ts";
import "./explain.ts";
import "./info.ts";
import "./iommufd/attach.ts";
import "./iommufd/bind.ts";
import "./iommufd/bound.ts";
import "./iommufd/context.ts";
import "./iommufd/map_file.ts";
import "./iommufd/space_ioas.ts";
import "./kvm.ts";
import "./legacy/container.ts";
import "./legacy/context.ts";
import "./legacy/group.ts";
import "./legacy/limits.ts";
import "./legacy/type1.ts";
import "./locked.ts";
import "./no_iommu/no_iommu.ts";
import "./no_iommu/pagemap.ts";
import "./no_iommu/permission.ts";
import "./select.ts";
import "./target.ts";
import "../lib/host/iommu/direct_mapping.ts";
import "../lib/host/iommu/chipsets.ts";
import "../lib/host/iommu/no_iommu.ts";
import "../lib/host/iommu/platform.ts";
import "../lib/host/iommu/nodes.ts";
import "../lib/host/iommu/remapping.ts";
import "../lib/host/openers.ts";
import "../lib/uapi/iommufd/ioas.ts";
import "../lib/uapi/linux/pagemap.ts";
import "../lib/uapi/vfio/cdev.ts";
import "../lib/uapi/vfio/container.ts";
import "../lib/uapi/vfio/device.ts";
import "../lib/uapi/vfio/type1.ts";
