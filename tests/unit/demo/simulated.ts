/**
 * The demo's simulated part.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { simulated } from "../../../scripts/demo/simulated.ts";

async function linesOf(backend?: "legacy" | "iommufd"): Promise<string[]> {
  const lines: string[] = [];
  await simulated(backend, (line) => lines.push(line));
  return lines;
}

Deno.test("simulated() shows attach, DMA and detach by each backend", async () => {
  const text = (await linesOf()).join("\n");
  for (const backend of ["iommufd", "legacy"]) {
    assertMatch(text, new RegExp(`^sim  attached .* by ${backend}: `, "m"));
  }
  for (const line of [/copied .* by DMA$/, /all 4096 .* equal$/, /detached /]) {
    const every = new RegExp(`^sim  .*${line.source}`, "mg");
    assertEquals(text.match(every)?.length, 2, `${line}`);
  }
});

Deno.test("simulated() marks every line as simulated", async () => {
  const [title, ...lines] = await linesOf();
  assertMatch(title!, /^══ Simulated: .* No kernel, no device$/);
  assertEquals(lines.filter((line) => !/^sim( {2}|$)/.test(line)), []);
});

Deno.test("simulated() shows one backend when one is named", async () => {
  const text = (await linesOf("legacy")).join("\n");
  assertMatch(text, /^sim {2}attached .* by legacy: asked for$/m);
  assertEquals(text.match(/iommufd/), null);
});
