import { simulate } from "../../../lib/sim/mod.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { COMMANDS } from "../../../scripts/passthru/commands.ts";
import { LOADERS } from "../../../scripts/passthru/load.ts";
import { call, json } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const HOST = { functions: { [A]: { id: "8086:10d3", driver: "e1000e" } } };

for (
  const [name, argv, message, hint] of [
    [
      "an unknown command",
      ["lst"],
      "unknown command lst",
      "did you mean list?",
    ],
    [
      "an unknown option",
      ["list", "--drver=x"],
      "unknown option --drver",
      "did you mean --driver?",
    ],
    ["an unknown short option", ["list", "-x"], "unknown option -x", "--help"],
    [
      "too few operands",
      ["show"],
      "ADDRESS is missing",
      "passthru show --help",
    ],
    ["too many operands", ["show", A, "b"], "b is one operand too many", ""],
    [
      "an option without its value",
      ["list", "--driver"],
      "--driver needs a value",
      "",
    ],
    [
      "an option twice",
      ["list", "--driver", "a", "--driver", "b"],
      "--driver is given twice",
      "",
    ],
    ["no address", ["show", "zz"], "Cannot parse PCI address", ""],
    ["nothing", [], "no command is given", ""],
    [
      "a value that is not in the list",
      ["attach", A, "--backend", "iomufd"],
      "expected one of auto, iommufd, legacy",
      "did you mean iommufd?",
    ],
    [
      "an option before the command",
      ["--driver", "x", "list"],
      "unknown option",
      "first",
    ],
    ["an argument after --", ["list", "--", "x"], "nothing is expected", ""],
  ] as const
) {
  Deno.test(`passthru exits with 2 when it is given ${name}`, async () => {
    const { code, err } = await call(HOST, argv);
    assertEquals(code, 2);
    assertStringIncludes(err, `passthru: ${message}`.slice(0, 10));
    assertStringIncludes(err, message);
    assertStringIncludes(err, hint);
    assertEquals(err.includes("    at "), false, "no stack trace");
  });
}

Deno.test("passthru writes an error as JSON when --json is given", async () => {
  assertEquals(await json(HOST, ["lst"]), {
    error: {
      code: "USAGE",
      device: null,
      message: "unknown command lst",
      hint: "did you mean list?",
    },
  });
  const { error } = await json(HOST, ["show", "02:00.0"]);
  assertEquals(
    [error.code, error.device],
    ["DEVICE_NOT_FOUND", "0000:02:00.0"],
  );
});

Deno.test("passthru exits with 1 and shows the hint when the library fails", async () => {
  const { code, out, err } = await call(HOST, ["show", "02:00.0"]);
  assertEquals([code, out], [1, ""]);
  assertEquals(
    err,
    "passthru: 0000:02:00.0: there is no PCI function at this address\n" +
      "hint: passthru list shows the present ones\n",
  );
});

Deno.test("passthru exits with 4 when the host has no IOMMU", async () => {
  const { code } = await call({ ...HOST, iommu: "none" }, ["attach", A]);
  assertEquals(code, 4);
});

Deno.test("passthru shows its help when it is asked to", async () => {
  for (const argv of [["--help"], ["-h"], ["help"]]) {
    const { code, out } = await call(HOST, argv);
    assertEquals(code, 0);
    for (const name of Object.keys(COMMANDS)) {
      assertStringIncludes(out, `\n  ${name} `);
    }
  }
});

Deno.test("passthru shows a command's options and examples when it is asked to", async () => {
  for (const [name, { options = {}, examples }] of Object.entries(COMMANDS)) {
    const { code, out } = await call(HOST, [name, "--help"]);
    assertEquals(code, 0, name);
    assertEquals(out, (await call(HOST, ["help", name])).out);
    for (const option of Object.keys(options)) {
      assertStringIncludes(out, `  --${option}`);
    }
    for (const example of Object.keys(examples)) {
      assertStringIncludes(out, example);
    }
    const longest = Math.max(...out.split("\n").map(({ length }) => length));
    assert(longest <= 80, `${name}: a line of ${longest} columns`);
  }
});

Deno.test("passthru acts on a simulated host when --simulate names a snapshot", async () => {
  const other = simulate({
    functions: { "0000:05:00.0": { id: "1af4:1041" } },
  });
  const files = { "other.json": (await call(other, ["snapshot"])).out };
  for (
    const argv of [
      ["--simulate", "other.json", "list"],
      ["--simulate=other.json", "list"],
      ["list", "--simulate", "other.json"],
    ]
  ) {
    const shown = await json(HOST, argv, { files });
    assertEquals(shown.map(({ address }: { address: string }) => address), [
      "0000:05:00.0",
    ]);
  }
});

Deno.test("passthru exits with 2 when --simulate names another file than a snapshot", async () => {
  const files = {
    "a.json": "{",
    "b.json": '{"functions":{"x":{}}}',
    "c.json": '{"functions":{},"functions":{}}',
  };
  for (const path of Object.keys(files)) {
    const { code, err } = await call(HOST, ["list", "--simulate", path], {
      files,
    });
    assertEquals(code, 2);
    assertStringIncludes(err, `${path} is not a snapshot`);
  }
});

Deno.test("passthru writes colours only when the terminal has them", async () => {
  const plain = await call(HOST, ["list"], { width: 80 });
  assertEquals(plain.out.includes("\x1b"), false);
  const coloured = await call(HOST, ["list"], { width: 80, colour: true });
  assertStringIncludes(coloured.out, "\x1b[1mADDRESS\x1b[22m");
});

Deno.test("passthru can load each of its commands", async () => {
  assertEquals(Object.keys(LOADERS).sort(), Object.keys(COMMANDS).sort());
  for (const load of Object.values(LOADERS)) {
    assertEquals(typeof (await load()).run, "function");
  }
});

Deno.test("passthru exits with 130 whatever the reason of its signal is", async () => {
  const { explain } = await import("../../../scripts/passthru/failure.ts");
  const reason = new Error("Ended by SIGINT");
  const aborted = AbortSignal.abort(reason);
  assertEquals(explain(reason, aborted).exit, 130);
  assertEquals(explain(new Error("another"), aborted).exit, 1);
  assertEquals(explain(reason, new AbortController().signal).exit, 1);
});

Deno.test("passthru --version writes the version of deno.json", async () => {
  const { default: { version } } = await import("../../../deno.json", {
    with: { type: "json" },
  });
  const { code, out } = await call({}, ["--version"]);
  assertEquals([code, out], [0, `passthru ${version}\n`]);
});

for (
  const [argv, message] of [
    [["restore", "zz"], "Cannot parse PCI address"],
    [["mdev", "remove", "x"], "UUID is x"],
  ] as const
) {
  Deno.test(`passthru ${argv.join(" ")} exits with 2`, async () => {
    const { code, err } = await call(HOST, argv);
    assertEquals(code, 2);
    assertStringIncludes(err, message);
  });
}

Deno.test("passthru unbind tells of a VFIO driver that it has not bound", async () => {
  const functions = { [A]: { id: "8086:10d3", driver: "vfio-pci" } };
  const { code, out, err } = await call({ functions }, ["unbind", A]);
  assertEquals([code, out], [0, "Nothing to undo.\n"]);
  assertStringIncludes(err, "which somebody else has bound");
  assertStringIncludes(err, `hint: passthru bind ${A} DRIVER`);
});

Deno.test("passthru dump writes the ids of capabilities in hexadecimal", async () => {
  const { capabilities } = await json(HOST, ["dump", A]);
  for (const { id, extended } of capabilities) {
    assertEquals(new RegExp(`^[0-9a-f]{${extended ? 4 : 2}}$`).test(id), true);
  }
  assertEquals(capabilities.length > 0, true);
});

Deno.test("passthru list --class takes names when the host has no pci.ids", async () => {
  const host = {
    functions: {
      [A]: { id: "8086:10d3", class: 0x020000 },
      [B]: { id: "1b36:0010", class: 0x010802 },
    },
  };
  for (
    const [name, address] of [
      ["ethernet", A],
      ["0200", A],
      ["Non-Volatile", B],
    ] as const
  ) {
    const found = await json(host, ["list", "--class", name]);
    assertEquals(
      found.map(({ address }: { address: string }) => address),
      [address],
      name,
    );
  }
});
