/**
 * A process that reads a mapped register while memory decoding is off: first
 * through the library, then past it, by a view of its own. Every answer is a
 * line.
 *
 * Arguments: the function's address, and the backend.
 *
 * @module
 */
import {
  AddressSpace,
  type BackendName,
  Host,
  VfioDevice,
  VfioError,
} from "../../../mod.ts";
import { MAP_SHARED, PROT_READ } from "../../../lib/uapi/linux/mman.ts";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../../lib/uapi/pci/regs.ts";

const [address, backend] = Deno.args as [string, BackendName];
const host = new Host();
const space = new AddressSpace({ host, backend });
const device = await VfioDevice.attach(address, space);
const mapped = device.region(0).map();
// The BAR begins at offset 0 of the device's file.
const { buffer } = host.kernel.mmap(4096, PROT_READ, MAP_SHARED, device.fd, 0n);
const own = new Uint32Array(buffer);
const command = device.config.read16(PCI_COMMAND);

/** What the library answers. */
function read(): string {
  try {
    return mapped.read32(0).toString(16);
  } catch (error) {
    if (error instanceof VfioError) return error.code;
    throw error;
  }
}

console.log(read(), own[0]!.toString(16));
device.config.write16(PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
console.log(read());
device.config.write16(PCI_COMMAND, command);
console.log(read(), own[0]!.toString(16));
device.config.write16(PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
console.log(own[0]);
console.log("not reached");
