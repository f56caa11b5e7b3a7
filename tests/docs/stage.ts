/**
 * Loaded before the documentation's examples run in a virtual machine: what
 * they take for granted of a host.
 *
 * @module
 */
import { AddressSpace, Host, VfioDevice } from "../../mod.ts";

/** The function that examples speak of. It stays with vfio-pci. */
const taken = await new Host().take("0000:01:00.0");

// Libc is loaded a part at a time, each at its first use, and an example that
// is the first would seem to leak it.
await using space = new AddressSpace();
await using _device = await VfioDevice.attach(taken.function, space);
space.allocate(4096).free();
