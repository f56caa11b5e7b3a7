import { assertEquals } from "@std/assert";
import { toFileUrl } from "@std/path";
import {
  breaches,
  type Module,
  readModules,
} from "../../scripts/dev/imports.ts";
import { ROOT } from "../../scripts/dev/deno.ts";

function module(path: string, imports: string[] = [], source = ""): Module {
  return { path, imports, source };
}

/** The breaches of one import of one module. */
function importing(from: string, to: string): string[] {
  return breaches([module(from, [to])]);
}

Deno.test("breaches() finds none in this checkout", async () => {
  const modules = await readModules(ROOT);
  assertEquals(modules.some(({ path }) => path === "mod.ts"), true);
  assertEquals(breaches(modules), []);
});

Deno.test("every module of tests is run or imported by one that is", async () => {
  const modules = await readModules(ROOT);
  const imported = new Set(modules.flatMap(({ imports }) => imports));
  const parts = /^tests\/(unit|conformance|faults)\//;
  assertEquals(
    modules.map(({ path }) => path).filter((path) =>
      parts.test(path) && !path.endsWith("_test.ts") && !imported.has(path)
    ),
    [],
  );
});

Deno.test("breaches() allows imports from below, from node: and of the errors", () => {
  assertEquals(importing("lib/device/device.ts", "lib/uapi/vfio/all.ts"), []);
  assertEquals(importing("lib/dma/space.ts", "backends/select.ts"), []);
  assertEquals(importing("lib/host/groups.ts", "lib/errors.ts"), []);
  assertEquals(importing("lib/kernel/libc.ts", "node:os"), []);
  assertEquals(
    importing("tests/unit/a_test.ts", "backends/legacy/context.ts"),
    [],
  );
});

Deno.test("breaches() reports an import when it goes up", () => {
  for (
    const [from, to] of [
      ["lib/kernel/libc.ts", "lib/host/groups.ts"],
      ["lib/host/groups.ts", "backends/select.ts"],
      ["lib/dma/space.ts", "lib/device/device.ts"],
      ["lib/kernel/errno.ts", "lib/errors.ts"],
      ["lib/handoff/qemu.ts", "lib/provision/plan/plan.ts"],
      ["lib/host/groups.ts", "lib/sim/mod.ts"],
      ["mod.ts", "lib/provision/mod.ts"],
      ["lib/provision/apply.ts", "lib/sim/mod.ts"],
      ["lib/device/device.ts", "scripts/vm.ts"],
      ["backends/legacy/context.ts", "mod.ts"],
      ["mod.ts", "tests/vm/prepare.ts"],
      ["lib/host/groups.ts", "@std/path"],
      ["backends/select.ts", "npm:chalk@5"],
      ["lib/host/groups.ts", "https://example.com/mod.ts"],
      ["lib/novel/idea.ts", "lib/errors.ts"],
    ] as const
  ) assertEquals(importing(from, to).length, 1, `${from} imports ${to}`);
});

Deno.test("breaches() reports an import of a single backend when it is outside backends/", () => {
  assertEquals(
    importing("lib/device/device.ts", "backends/legacy/context.ts").length,
    1,
  );
  assertEquals(importing("mod.ts", "backends/iommufd/context.ts").length, 1);
  assertEquals(
    importing("backends/select.ts", "backends/iommufd/context.ts"),
    [],
  );
});

Deno.test("breaches() reports text when it is outside of its one place", () => {
  function text(path: string, source: string): number {
    return breaches([module(path, [], source)]).length;
  }
  assertEquals(text("lib/host/a.ts", 'Deno.dlopen("libc.so.6", {})'), 1);
  assertEquals(
    text("lib/kernel/libc/library.ts", 'Deno.dlopen("libc.so.6", {})'),
    0,
  );
  assertEquals(text("backends/legacy/context.ts", "ioctl(fd, 0x3B64)"), 1);
  assertEquals(text("lib/uapi/vfio/all.ts", "const VFIO = 0x3b64"), 0);
  assertEquals(text("lib/host/a.ts", 'Deno.readTextFileSync("/sys")'), 1);
  assertEquals(text("scripts/a.ts", 'Deno.readTextFileSync("/sys")'), 0);
});

Deno.test("breaches() reports each import cycle once", () => {
  assertEquals(
    breaches([
      module("lib/host/a.ts", ["lib/host/b.ts"]),
      module("lib/host/b.ts", ["lib/host/c.ts"]),
      module("lib/host/c.ts", ["lib/host/b.ts"]),
    ]),
    ["import cycle: lib/host/b.ts → lib/host/c.ts → lib/host/b.ts"],
  );
});

Deno.test("readModules() reads types, dynamic imports and packages", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/lib/host`, { recursive: true });
    await Deno.mkdir(`${folder}/scripts`);
    await Deno.writeTextFile(`${folder}/scripts/b.ts`, "export type B = 1;");
    await Deno.writeTextFile(
      `${folder}/lib/host/a.ts`,
      `import type { B } from "../../scripts/b.ts";
       import { join } from "@std/path";
       export const a: B = 1;
       export { join };
       await import("../../scripts/b.ts");
       import("node:fs");`,
    );
    const modules = await readModules(toFileUrl(`${folder}/`));
    assertEquals(
      modules.map(({ path, imports }) => [path, imports]),
      [
        [
          "lib/host/a.ts",
          ["scripts/b.ts", "@std/path", "node:fs"],
        ],
        ["scripts/b.ts", []],
      ],
    );
    assertEquals(breaches(modules).length, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
