/**
 * The tests of `lib/handoff/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./handoff/descriptors.ts";
import "./handoff/qemu.ts";
