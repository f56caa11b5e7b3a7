import { assertEquals } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";

async function readJson(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await Deno.readTextFile(new URL(path, ROOT)));
}

Deno.test("deno.offline.json is deno.json with a stand-in for each package of JSR", async () => {
  const online = await readJson("deno.json");
  const { links, ...rest } = await readJson("deno.offline.json");
  assertEquals(rest, online);
  assertEquals(
    links,
    Object.entries(online.imports as Record<string, string>)
      .filter(([, specifier]) => specifier.startsWith("jsr:"))
      .map(([name]) => name.replace("@std", "./tests/offline_std")),
  );
});
