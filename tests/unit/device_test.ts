/**
 * The tests of `lib/device/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./device/mapped_registers.ts";
import "./device/region.ts";
import "./device/vfio_device.ts";
