import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../mod.ts";
import { VfioError } from "../../lib/errors.ts";
import { openersText } from "../../lib/host/openers.ts";
import { printable, printableLines, shortJson } from "../../lib/printable.ts";
import { simulate, SimulatedHost } from "../../lib/sim/mod.ts";
import { guarded, styled } from "../../scripts/passthru/terminal/terminal.ts";
import type { Terminal } from "../../scripts/passthru/terminal/terminal.ts";
import { call } from "./passthru_bench.ts";

const A = "0000:01:00.0";
const EVIL = "\x1b[8m\rok\n\x07\x7f\x9b0m\u202e";
// deno-lint-ignore no-control-regex
const CONTROL = /(?!\n)[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

Deno.test("printable() escapes C0, DEL, C1 and bidi controls", () => {
  assertEquals(
    printable(EVIL),
    "\\u001b[8m\\rok\\n\\u0007\\u007f\\u009b0m\\u202e",
  );
  assertEquals(printable("plain, ünïcode 日本 🂡"), "plain, ünïcode 日本 🂡");
  assertEquals(printable("\ud800"), "\\ud800");
});

Deno.test("printable() escapes all that Unicode calls a control or half a surrogate pair", () => {
  const escaped =
    /^[\p{Cc}\p{Cs}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]$/u;
  for (let code = 0; code <= 0xffff; code++) {
    const text = String.fromCharCode(code);
    assertEquals(printable(text) !== text, escaped.test(text), code.toString());
  }
});

Deno.test("printableLines() keeps newlines only", () => {
  assertEquals(printableLines("a\nb\r\x1b"), "a\nb\\r\\u001b");
});

Deno.test("VfioError escapes the control characters of its details", () => {
  const error = new VfioError("KERNEL", {
    device: EVIL,
    problem: `is open in ${EVIL}`,
    hint: `end ${EVIL}`,
  });
  for (const text of [error.message, error.problem, error.hint!]) {
    assertEquals(CONTROL.test(text), false, text);
  }
});

Deno.test("openersText() escapes newlines in names too", () => {
  assertEquals(
    openersText([{ pid: 7, name: "\x1b[8m\nok" }]),
    "\\u001b[8m\\nok (process 7)",
  );
});

Deno.test("VfioDevice.attach() escapes the name of the process that has the group", async () => {
  const host = simulate({
    functions: { [A]: { id: "8086:10d3", driver: "vfio-pci" } },
  });
  const other = new SimulatedHost(host.machine, { name: EVIL, uid: 0 });
  await using space = new AddressSpace({ host: other });
  await using _ = await VfioDevice.attach(A, space);
  await using mine = new AddressSpace({ host });
  const error = await VfioDevice.attach(A, mine).then(
    () => undefined,
    (error) => error as Error,
  );
  assertStringIncludes(error!.message, "\\u001b[8m\\rok");
  assertEquals(CONTROL.test(error!.message), false);
});

Deno.test("passthru writes no control characters of names in any command", async () => {
  const host = () =>
    simulate({
      functions: {
        [A]: { id: "8086:10d3", class: 0x020000, driver: "vfio-pci" },
      },
      files: {
        "/usr/share/misc/pci.ids":
          `8086  Intel \x1b]0;x\x07\n\t10d3  \x1b[31mRED\x1b[0m \u202eevil\x9b\n`,
      },
    });
  for (
    const argv of [
      ["list"],
      ["list", "--json"],
      ["show", A],
      ["groups"],
      ["groups", "--tree"],
      ["groups", "--svg"],
      ["dump", A],
      ["doctor", A],
      ["show", EVIL],
      [EVIL],
      ["bind", A, EVIL],
    ]
  ) {
    const { out, err } = await call(host(), argv, { width: 100 });
    assertEquals(CONTROL.test(out + err), false, argv.join(" "));
  }
  const { out } = await call(host(), ["list"]);
  assertStringIncludes(out, "\\u001b[31mRED");
});

Deno.test("passthru escapes what the parser of a state quotes", async () => {
  const { code, err } = await call({}, ["plan", "s.json"], {
    files: { "s.json": '{"functions": \x1b[8m]}' },
  });
  assertEquals([code, CONTROL.test(err)], [2, false]);
  assertEquals(err.trimEnd().split("\n").length, 1, err);
});

Deno.test("guarded() lets styles pass on a terminal with colours only", () => {
  let shown = "";
  const terminal = (colour: boolean) =>
    guarded({ colour, write: (text) => void (shown = text) } as Terminal);
  const text = `${styled({ colour: true }, "red", "a")}\t\x1b[8mb\n`;
  terminal(true).write(text);
  assertEquals(shown, "\x1b[31ma\x1b[39m\t\\u001b[8mb\n");
  terminal(false).write(text);
  assertMatch(shown, /^\\u001b\[31ma/);
});

Deno.test("shortJson() looks at no more of a value than it writes", () => {
  let value: unknown = "x";
  for (let i = 0; i < 40; i++) value = Array(9).fill(value);
  assertEquals(shortJson(value).length, 60);
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  assertEquals(shortJson(cyclic).length, 60);
  assertEquals(
    shortJson({ a: [1, null, "b"], c: 2n }),
    '{"a":[1,null,"b"],"c":2n}',
  );
  assertEquals(shortJson("x".repeat(1e6)).length, 60);
  assertEquals(shortJson(undefined), "nothing");
});
