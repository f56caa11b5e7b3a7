/**
 * Lists every IOMMU group, whether user space can have it, and its functions
 * with their drivers.
 *
 *     deno run --allow-ffi examples/list.ts
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { Host, PciFunction } from "../mod.ts";
import { explainNoGroup } from "../lib/host/mod.ts";

const host = new Host();
const groups = host.groups();
for (const group of groups) {
  const { viable } = group.viability();
  console.log(`group ${group.id}${viable ? ", free" : ""}`);
  for (const device of group.devices) {
    const name = device instanceof PciFunction
      ? device.deviceName ?? device.className
      : undefined;
    const driver = device.driver ?? "no driver";
    console.log(`  ${device.name}  ${driver}${name ? `  ${name}` : ""}`);
  }
}
if (groups.length === 0) {
  const [first] = host.functions();
  if (first === undefined) console.log("There are no PCI functions");
  else console.log(`${first.address}: ${explainNoGroup(first).hint}`);
}
