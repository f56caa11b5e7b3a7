/**
 * Every module that a device script loads beside those of `lib/host/preload.ts`,
 * which says what such a list is for, and of `backends/preload.ts`.
 *
 * @module
 */

import "../../backends/hot_reset.ts";
import "../../backends/target.ts";
import "./attach_options.ts";
import "./config_region.ts";
import "./info/capabilities.ts";
import "./info/device_info.ts";
import "./info/region_info.ts";
import "./info/region_type.ts";
import "./interrupts/interrupts.ts";
import "./interrupts/irq.ts";
import "./interrupts/irq_events.ts";
import "./interrupts/irq_names.ts";
import "./interrupts/irq_set.ts";
import "./interrupts/irq_vector.ts";
import "./interrupts/refusal.ts";
import "./interrupts/turns.ts";
import "./interrupts/vector_counts.ts";
import "./interrupts/vector_table.ts";
import "./interrupts/vector_waits.ts";
import "./io_eventfd.ts";
import "./kvm.ts";
import "./mapped_registers.ts";
import "./memory_decoding.ts";
import "./passed.ts";
import "./present.ts";
import "./region.ts";
import "./regions.ts";
import "./register_gate.ts";
import "./registers.ts";
import "./reset/hot_reset.ts";
import "./reset/obstacle.ts";
import "./reset/reset.ts";
import "./reset/reset_target.ts";
import "./reset/turns.ts";
import "./resources.ts";
import "./until.ts";
import "./vfio_device.ts";
import "../dma/address_space.ts";
import "../dma/iova_allocator.ts";
import "../dma/iova_space.ts";
import "../dma/mapping.ts";
import "../dma/mappings.ts";
import "../dma/members.ts";
import "../dma/memory.ts";
import "../dma/physical.ts";
import "../dma/registry.ts";
import "../dma/space_context.ts";
import "../dma/unattached.ts";
import "../host/driver/deadline.ts";
import "../host/iommu/no_iommu.ts";
import "../host/pci/reset_method.ts";
import "../host/release_mark.ts";
import "../kernel/interruption.ts";
import "../tracing.ts";
import "../uapi/linux/kvm.ts";
import "../uapi/pci/capability_regs.ts";
import "../uapi/pci/regs.ts";
import "../uapi/vfio/pci.ts";
import "../uapi/vfio/region.ts";
