/**
 * Every module that a device script loads beside those of `lib/host/preload.ts`,
 * which says what such a list is for, and of `backends/preload.ts`.
 *
 * @module
 */

import "../../backends/target.ts";
import "./mapped_registers.ts";
import "./region.ts";
import "./registers.ts";
import "./resources.ts";
import "./vfio_device.ts";
import "../dma/address_space.ts";
import "../dma/iova_allocator.ts";
import "../dma/iova_space.ts";
import "../dma/mapping.ts";
import "../dma/mappings.ts";
import "../dma/members.ts";
import "../dma/memory.ts";
import "../dma/registry.ts";
import "../dma/space_context.ts";
import "../dma/unattached.ts";
import "../host/iommu/no_iommu.ts";
import "../tracing.ts";
import "../uapi/pci/capability_regs.ts";
import "../uapi/pci/regs.ts";
import "../uapi/vfio/device.ts";
import "../uapi/vfio/pci.ts";
import "../uapi/vfio/region.ts";
