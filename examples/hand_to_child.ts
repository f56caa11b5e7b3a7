/**
 * Gives an NVMe disk to a child process that may open nothing: the user
 * `nobody`, without a capability, with the permission `--allow-ffi` only. This
 * process opens the device; the child inherits the descriptors and drives it.
 *
 *     deno run --allow-ffi --allow-run --allow-env \
 *       examples/hand_to_child.ts 0000:01:00.0
 *
 * The child is `nvme_by_descriptor.ts`. The kernel needs iommufd.
 *
 * @module
 */
import { spawn } from "node:child_process";
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { Host } from "../mod.ts";
import { VfioDescriptors } from "../lib/handoff/mod.ts";

const NOBODY = 65534;

await using taken = await new Host().take(Deno.args[0]!);
await using open = await VfioDescriptors.open([taken.device]);

const child = spawn(Deno.execPath(), [
  ...["run", "--no-prompt", "--allow-ffi"],
  new URL("nvme_by_descriptor.ts", import.meta.url).href,
], {
  uid: NOBODY,
  gid: NOBODY,
  // Its descriptors 3 and 4.
  stdio: ["ignore", "inherit", "inherit", open.iommufd, open.devices[0]!],
});
const ended = new Promise((resolve, reject) =>
  child.once("exit", resolve).once("error", reject)
);
// The child has them by now: the disk is free when the child ends.
await open.close();
const code = await ended;
if (code !== 0) throw new Error(`The child ended with ${code}`);
