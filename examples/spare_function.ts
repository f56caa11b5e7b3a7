/**
 * A script with a test of its own, `spare_function_test.ts`: copy both, and
 * replace their content by yours. `main` takes the host as an argument, so that
 * the test can pass a simulated one.
 *
 * It takes a function from its driver, shows its ids and first registers, gives
 * it memory, and puts everything back.
 *
 *     deno run --allow-ffi examples/spare_function.ts 0000:01:00.0
 *     deno test examples/spare_function_test.ts
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, VfioDevice } from "../mod.ts";

/**
 * @param host The host that the function is on.
 * @param address The function: `0000:01:00.0`.
 * @param timeout How long others may take to let go of it, in milliseconds.
 * @returns The lines to print.
 */
export async function main(
  host: Host,
  address: string,
  timeout = 10_000,
): Promise<string[]> {
  const fn = host.function(address);
  await using _taken = await host.take(fn, { timeout });
  await using space = new AddressSpace({ host });
  await using device = await VfioDevice.attach(fn, space);

  using registers = device.region(0).map();
  const first = [0, 4, 8].map((offset) => hex(registers.read32(offset), 8));

  using memory = space.allocate(2 ** 20);
  memory.bytes.set(new TextEncoder().encode("hello, device"));

  return [
    `${fn.address} is ${hex(fn.vendor, 4)}:${hex(fn.device, 4)}`,
    `registers: ${first.join(" ")}`,
    `memory: ${memory.size} bytes at IOVA 0x${memory.iova.toString(16)}`,
  ];
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

if (import.meta.main) {
  for (const line of await main(new Host(), Deno.args[0]!)) console.log(line);
}
