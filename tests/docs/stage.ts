/**
 * Prepares the host as the documentation's examples expect it. It is loaded
 * before they run in a virtual machine.
 *
 * @module
 */
import { AddressSpace, Host, VfioDevice } from "../../mod.ts";
import { loadAll } from "../host/load_all.ts";

/** The function that the examples use. It stays bound to vfio-pci. */
const taken = await new Host().take("0000:01:00.0");
/** The one beside it, in the examples of two. */
await new Host().take("0000:00:03.0");

// libc is loaded in parts, each at its first use, which in an example would
// look like a leak.
await loadAll(taken.device.host.kernel);
await using space = new AddressSpace();
await using _device = await VfioDevice.attach(taken.device, space);
space.allocate(4096).free();
