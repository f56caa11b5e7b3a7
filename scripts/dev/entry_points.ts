/**
 * The modules that others may import from the package.
 *
 * @module
 */
import { ROOT } from "./deno.ts";

/**
 * The entry points, as `deno.json` lists them.
 *
 * @returns their paths in the checkout, such as `lib/pci/mod.ts`
 */
export async function entryPoints(): Promise<string[]> {
  const text = await Deno.readTextFile(new URL("deno.json", ROOT));
  const { exports } = JSON.parse(text) as { exports: Record<string, string> };
  return Object.values(exports).map((path) => path.replace(/^\.\//, ""));
}
