import { assertEquals, assertStringIncludes } from "@std/assert";
import { call } from "../passthru_bench.ts";

/** Levels of lists, each of nine references to the level before. */
function laughs(levels: number): string {
  const lines = ["functions:", "  - select:", "    - &a0 [x, x]"];
  for (let i = 1; i <= levels; i++) {
    lines.push(`    - &a${i} [${Array(9).fill(`*a${i - 1}`).join(", ")}]`);
  }
  return `${lines.join("\n")}\n`;
}

for (
  const [name, path, text, message] of [
    [
      "aliases stand for too many values",
      "s.yaml",
      laughs(40),
      "s.yaml: its aliases stand for too many values",
    ],
    [
      "a value contains itself",
      "s.yaml",
      "&a\nfunctions: [*a]\n",
      "s.yaml: a value contains itself",
    ],
    [
      "YAML is malformed",
      "s.yaml",
      "functions:\n\t- \x1b[8mx\n",
      "s.yaml: tab characters must not be used in indentation in line 2, " +
      "column 1",
    ],
    [
      "YAML has a key twice",
      "s.yaml",
      "functions: []\nfunctions: []\n",
      "s.yaml: duplicated mapping key in line 2, column 1",
    ],
    [
      "JSON is malformed",
      "s.json",
      '{"functions":\n \x1b]}',
      "s.json: ",
    ],
    [
      "JSON has a key twice",
      "s.json",
      '{"functions": [\n  {"select": "01:00.0", "driver": "a", "driver": "b"}]}',
      's.json: "driver" is given twice in one object, again in line 2, column 40',
    ],
    [
      "JSON has a key twice, once escaped",
      "-",
      '{"functions":[],"\\u0066unctions":[]}',
      'standard input: "functions" is given twice in one object, again in ' +
      "line 1, column 17",
    ],
    [
      "JSON is nested deeply",
      "s.json",
      `{"functions":${"[".repeat(1e5)}${"]".repeat(1e5)}}`,
      "s.json: it is nested too deeply",
    ],
    [
      "YAML is nested deeply",
      "s.yaml",
      `functions: ${"[".repeat(1e4)}${"]".repeat(1e4)}`,
      "s.yaml: nest",
    ],
  ] as const
) {
  Deno.test(`passthru plan ends in one line when ${name}`, async () => {
    const { code, out, err } = await call({}, ["plan", path], {
      files: { [path]: text },
    });
    assertEquals([code, out], [2, ""]);
    assertEquals(err.indexOf("\n"), err.length - 1, err);
    assertStringIncludes(err, `passthru: ${message}`);
  });
}

Deno.test("passthru plan takes aliases in reason", async () => {
  const functions = {
    "0000:01:00.0": { id: "8086:10d3" },
    "0000:02:00.0": { id: "8086:10d3" },
  };
  const text = `functions:
  - select: "0000:01:00.0"
    driver: vfio-pci
    node: &n { owner: 5 }
  - { select: "0000:02:00.0", driver: vfio-pci, node: *n }
`;
  const { code, out } = await call({ functions }, ["plan", "s.yaml"], {
    files: { "s.yaml": text },
  });
  assertEquals(code, 0);
  assertStringIncludes(out, "0000:02:00.0");
});

Deno.test("passthru plan takes the same key in several objects, and braces in texts", async () => {
  const functions = {
    "0000:01:00.0": { id: "8086:10d3" },
    "0000:02:00.0": { id: "8086:10d3" },
  };
  const state = {
    functions: Object.keys(functions).map((select) => ({
      select,
      driver: "vfio-pci",
    })),
    memoryLimit: {},
  };
  const { code, err } = await call({ functions }, ["plan", "s.json"], {
    files: { "s.json": JSON.stringify(state) },
  });
  assertEquals([code, err], [0, ""]);
  const odd = '{"memoryLimit": {"a:{\\"}": "1G", "a:{": "2G"}}';
  const refused = await call({ functions }, ["plan", "s.json"], {
    files: { "s.json": odd },
  });
  assertStringIncludes(refused.err, "memoryLimit: expected the name");
});
