/**
 * A userspace NVMe driver that identifies a controller. It writes nothing to
 * the disk, so a disk with data is safe. Nothing may use the disk meanwhile.
 *
 *     deno run --allow-ffi examples/nvme_identify.ts 0000:01:00.0
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, VfioDevice } from "../mod.ts";
import { NvmeController } from "./nvme/controller.ts";

await using taken = await new Host().take(Deno.args[0]!);
await using space = new AddressSpace();
await using device = await VfioDevice.attach(taken.device, space);
await using controller = await NvmeController.start(device);

const { model, serial, firmware } = await controller.identify();
console.log(`model     ${model}`);
console.log(`serial    ${serial}`);
console.log(`firmware  ${firmware}`);
