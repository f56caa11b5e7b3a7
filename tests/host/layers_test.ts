import { assertEquals, assertThrows } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";
import { readModules } from "../../scripts/dev/imports.ts";
import { arrowsOf, drawLayers, PICTURE } from "../../scripts/dev/layers.ts";

function module(path: string, ...imports: string[]) {
  return { path, imports, source: "" };
}

Deno.test("the picture of the layers agrees with the imports", async () => {
  const drawn = drawLayers(await readModules(ROOT));
  const kept = await Deno.readTextFile(new URL(PICTURE, ROOT));
  assertEquals(kept, drawn, "deno task layers updates it");
});

Deno.test("arrowsOf() returns each import between folders once", () => {
  assertEquals(
    arrowsOf([
      module("lib/host/host.ts", "lib/pci/ids.ts", "lib/host/sysfs.ts"),
      module("lib/host/pci/tree.ts", "lib/pci/mod.ts", "node:fs"),
      module("scripts/demo.ts", "mod.ts"),
      module("tests/unit/a.ts", "mod.ts"),
    ]),
    [
      { from: "scripts", to: "mod.ts" },
      { from: "lib/host", to: "lib/pci" },
    ],
  );
});

Deno.test("arrowsOf() throws when the picture lacks a folder", () => {
  assertThrows(
    () => arrowsOf([module("lib/novel/idea.ts")]),
    Error,
    "lib/novel/idea.ts is in no folder",
  );
});

Deno.test("arrowsOf() throws when an import leads upwards", () => {
  assertThrows(
    () => arrowsOf([module("lib/host/host.ts", "backends/select.ts")]),
    Error,
    "lib/host/host.ts imports backends, which is above it",
  );
});

Deno.test("drawLayers() leaves out an arrow when others lead to its end", () => {
  const drawn = drawLayers([
    module("mod.ts", "lib/device/a.ts", "lib/host/a.ts"),
    module("lib/device/a.ts", "lib/host/a.ts"),
  ]);
  assertEquals(
    [...drawn.matchAll(/<title>(.*? imports .*?)<\/title>/g)]
      .map(([, title]) => title),
    ["mod.ts imports lib/device", "lib/device imports lib/host"],
  );
});
