/**
 * Every module that a device script loads at its start beside those of
 * `lib/host/preload.ts`, which says what such a list is for.
 *
 * @module
 */

import "../../backends/mapping_limit.ts";
import "../../backends/teardown.ts";
import "./kvm.ts";
import "./vfio_device.ts";
import "../dma/address_space.ts";
import "../dma/dirty/tracking.ts";
import "../dma/file_memory.ts";
import "../dma/host_memory.ts";
import "../dma/iova_allocator.ts";
import "../dma/iova_space.ts";
import "../dma/mapping.ts";
import "../dma/mapping_room.ts";
import "../dma/mappings.ts";
import "../dma/members.ts";
import "../dma/memory.ts";
import "../dma/space_context.ts";
import "../dma/space_memory.ts";
import "../dma/unattached.ts";
import "../host/iommu/memory_lock.ts";
import "../kernel/fd.ts";
import "../kernel/interruption.ts";
import "../ranges.ts";
import "../tracing.ts";
import "../uapi/ioctl.ts";
import "../uapi/linux/kvm.ts";
