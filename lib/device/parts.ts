/**
 * What devices are made of, from the time on when one is attached. It is loaded
 * with the first one. The imports are a list as `lib/host/preload.ts` is one.
 *
 * @module
 */

import "../dma/attaching.ts";
import "../../backends/hot_reset.ts";
import "./attach_options.ts";
import "./bus_master.ts";
import "./regions/config_region.ts";
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
import "./regions/io_eventfd.ts";
import "./regions/mapped_registers.ts";
import "./regions/memory_decoding.ts";
import "./passed.ts";
import "./present.ts";
import "./regions/region.ts";
import "./regions/regions.ts";
import "./regions/register_gate.ts";
import "./regions/registers.ts";
import "./reset/hot_reset.ts";
import "./reset/obstacle.ts";
import "./reset/reset.ts";
import "./reset/reset_target.ts";
import "./reset/turns.ts";
import "./resources.ts";
import "./regions/until.ts";
import "../host/driver/deadline.ts";
import "../host/pci/reset_method.ts";
import "../host/release_mark.ts";
import "../uapi/pci/capability_regs.ts";
import "../uapi/pci/regs.ts";
import "../uapi/vfio/pci.ts";
import "../uapi/vfio/region.ts";

export { markRelease } from "../host/release_mark.ts";
export { assertMediated, assertToken, described } from "./attach_options.ts";
export { isBusMaster, setBusMaster } from "./bus_master.ts";
export { readDeviceInfo } from "./info/device_info.ts";
export { Interrupts } from "./interrupts/interrupts.ts";
export { memoryGate } from "./regions/memory_decoding.ts";
export { findTarget } from "./passed.ts";
export { isPresent } from "./present.ts";
export { Regions } from "./regions/regions.ts";
export { HotReset } from "./reset/hot_reset.ts";
export { resetDevice } from "./reset/reset.ts";
export { enroll } from "./reset/reset_target.ts";
export { Resources } from "./resources.ts";
