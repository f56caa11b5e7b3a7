/**
 * The shortest script: it takes a function from its driver, attaches it, reads
 * its ids, and puts everything back.
 *
 *     deno run --allow-ffi examples/attach.ts 0000:01:00.0
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, VfioDevice } from "../mod.ts";

{
  await using taken = await new Host().take(Deno.args[0]!);
  await using space = new AddressSpace();
  await using device = await VfioDevice.attach(taken.device, space);

  const id = (offset: number) =>
    device.config.read16(offset).toString(16).padStart(4, "0");
  console.log(`${device.name} is ${id(0)}:${id(2)}`);
  console.log(
    `attached by ${space.backend!.backend}: ${space.backend!.reason}`,
  );
}
// At the end of the block the device is detached and given back.
console.log("driver:", new Host().find(Deno.args[0]!).driver ?? "none");
