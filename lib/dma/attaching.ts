/**
 * What an address space needs from the time on when a device is attached to it.
 * It is loaded with the first one.
 *
 * @module
 */

import "../../backends/preload.ts";

export { createContext } from "../../backends/create.ts";
export { otherBackend, selectBackend } from "../../backends/select.ts";
export { attachTarget } from "../../backends/target.ts";
export { allocateWithin } from "./physical.ts";
export { register } from "./registry.ts";
