/**
 * Two devices in one address space: both see the same memory at the same IOVA,
 * so that one can read what the other has written. The devices are QEMU's
 * `edu`.
 *
 *     deno run --allow-ffi examples/shared_space.ts 0000:00:03.0 0000:00:04.0
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, type DmaMemory, Host, VfioDevice } from "../mod.ts";
import { Edu, EDU_DMA_MASK } from "./edu.ts";

const host = new Host();
await using takenA = await host.take(Deno.args[0]!);
await using takenB = await host.take(Deno.args[1]!);

await using space = new AddressSpace({ host });
await using a = await VfioDevice.attach(takenA.device, space);
await using b = await VfioDevice.attach(takenB.device, space);

const page = () => space.allocate(4096, { dmaMask: EDU_DMA_MASK });
using first = page();
using second = page();
using third = page();

async function copy(device: VfioDevice, from: DmaMemory, to: DmaMemory) {
  device.setBusMaster(true);
  using registers = device.region(0).map();
  await new Edu(registers).copy(from.iova, to.iova, from.size);
  const [source, target] = [from, to].map(({ iova }) => iova.toString(16));
  console.log(`${device.name} copied IOVA 0x${source} to 0x${target}`);
}

crypto.getRandomValues(first.bytes);
await copy(a, first, second);
await copy(b, second, third);
const equal = third.bytes.every((byte, i) => byte === first.bytes[i]);
console.log(
  `the third page and the first are ${equal ? "equal" : "DIFFERENT"}`,
);
