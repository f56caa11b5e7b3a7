/**
 * Identifies an NVMe controller by descriptors that it inherited: of an iommufd
 * as 3, and of the controller's node as 4. It needs no right to any node.
 * `hand_to_child.ts` starts it.
 *
 *     deno run --allow-ffi examples/nvme_by_descriptor.ts 3<>/dev/iommu \
 *       4<>/dev/vfio/devices/vfio0
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, VfioDevice } from "../mod.ts";
import { NvmeController } from "./nvme/controller.ts";

await using space = new AddressSpace();
await using device = await VfioDevice.attach({ iommufd: 3, fd: 4 }, space);
await using controller = await NvmeController.start(device);

const { model, serial } = await controller.identify();
console.log(`${device.name} by ${space.backend!.reason}`);
console.log(`model     ${model}`);
console.log(`serial    ${serial}`);
