/**
 * Compares `decodeConfigSpace` with `lspci -F FILE -vvv` on the dumps of the
 * tests of pciutils, which Debian's source package has. They are fetched, and
 * `lspci` is built from the same source, since only its own version knows all
 * that its dumps have.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { decodeConfigSpace } from "../../lib/pci/config/decode.ts";
import { parsePostedConfigs } from "../../lib/pci/config/lspci_text.ts";
import { cached } from "../vm/cache.ts";
import { run } from "../vm/command.ts";
import { debianSource } from "../vm/debian_source.ts";
import { compareWithLspci, lspci } from "./lspci/compare.ts";

/** Fetches the source of pciutils, and builds its lspci. */
async function fetchPciutils(): Promise<string> {
  const source = await debianSource("pciutils");
  return await cached(
    `${source.split("/").slice(-2).join("/")}-built`,
    async (path) => {
      await run(["cp", "-r", source, path]);
      await run([
        "make",
        ...["ZLIB=no", "DNS=no", "SHARED=no", "HWDB=no", "LIBKMOD=no"],
        "lspci",
      ], { cwd: path });
    },
  );
}

/** The directory, or why there is none. */
const fetched: { path: string } | { reason: string } = await fetchPciutils()
  .then((path) => ({ path }), (error) => ({ reason: String(error) }));
if ("reason" in fetched) {
  console.log(`Skipped: the dumps of pciutils. ${fetched.reason}`);
}

Deno.test({
  name: "decodeConfigSpace() agrees with lspci when the dumps are pciutils'",
  ignore: "reason" in fetched,
  async fn() {
    const { path } = fetched as { path: string };
    const program = join(path, "lspci");
    const facts = new Map<string, number>();
    for await (const { name } of Deno.readDir(join(path, "tests"))) {
      const text = await Deno.readTextFile(join(path, "tests", name));
      for (const { address, bytes } of parsePostedConfigs(text)) {
        // Some dumps have nothing but names.
        if (bytes.length < 64) continue;
        const theirs = await lspci(address!.slice(-7), bytes, program);
        const compared = compareWithLspci(decodeConfigSpace(bytes), theirs);
        for (const [name, count] of compared) {
          facts.set(name, (facts.get(name) ?? 0) + count);
        }
      }
    }
    const all = facts.values().reduce((sum, count) => sum + count, 0);
    assert(all > 3000, `${all} facts`);
    const uncompared = [
      ...["header", "Power Management", "MSI", "MSI-X", "Express", "PCI-X"],
      ...["HyperTransport", "Enhanced Allocation", "Virtual Channel"],
      ...["Advanced Error Reporting", "Access Control Services", "Multicast"],
      ...["SR-IOV", "Secondary PCI Express", "Data Object Exchange"],
      ...["Integrity and Data Encryption", "Designated Vendor-Specific"],
    ].filter((name) => !facts.get(name));
    assertEquals(uncompared, []);
  },
});
