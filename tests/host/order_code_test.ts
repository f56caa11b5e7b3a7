/**
 * The machine code that V8 makes of `lib/rings/order.ts` accesses memory in the
 * order that is written there, with the instructions that its page names. The
 * language promises neither. `objdump` of binutils reads the code.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";

const { arch } = Deno.build;

/** What `objdump` calls this processor, and how it is to write. */
const MACHINES = {
  x86_64: ["i386:x86-64", "-M", "intel"],
  aarch64: ["aarch64"],
} as const;

/**
 * What counts in a line of assembly. The data is at offset 0 of what a register
 * points to, the flag at offset 32.
 */
const EVENTS = {
  x86_64: /DWORD PTR \[r\w+(\+0x20)?\]|\bcall\b/,
  aarch64: /\b(?:ldr|str)\s+w\d+, \[x\d+(, #32)?\]|\bblr\b/,
} as const;

/** The order of accesses in each function, up to the last one. */
const ORDER = {
  x86_64: {
    handOver: "data flag",
    take: "flag data",
    cross: "data call flag",
    crossByWasm: "data call flag",
  },
  aarch64: {
    handOver: "data call flag",
    take: "flag call data",
    cross: "data call flag",
    crossByWasm: "data call flag",
  },
} as const;

/** The instructions in what is called. */
const CALLED = {
  x86_64: {
    "Builtin:AtomicsAdd": /\block cmpxchg DWORD PTR/,
    "JS:wasm-function[0]-0-liftoff": /\bmfence\b/,
  },
  aarch64: {
    "Builtin:AtomicsLoad": /\bldar\s+w/,
    "JS:wasm-function[0]-0-liftoff": /\bdmb\s+ish\b/,
  },
} as const;

/** Whether a program can be run. */
async function has(program: string): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args: ["--version"] }).output())
      .success;
  } catch {
    return false;
  }
}

/** Runs a program in a directory, and returns its output. */
async function output(
  cwd: string,
  program: string,
  ...args: readonly string[]
): Promise<string> {
  const { stdout } = await new Deno.Command(program, {
    ...{ args: [...args], cwd, stderr: "inherit" },
  }).output();
  return new TextDecoder().decode(stdout);
}

/** Has V8 compile the functions, and returns their code as text. */
async function assembly(): Promise<Record<string, string>> {
  const script = fromFileUrl(import.meta.resolve("./order_code.ts"));
  // V8 leaves a log in it.
  const dir = await Deno.makeTempDir();
  try {
    const codes: Record<string, string> = JSON.parse(
      await output(dir, Deno.execPath(), "run", ...[
        ...["-A", "--no-check", "--no-config"],
        "--v8-flags=--perf-basic-prof,--single-threaded",
        script,
      ]),
    );
    const texts: Record<string, string> = {};
    for (const [name, hex] of Object.entries(codes)) {
      await Deno.writeFile(`${dir}/code`, Uint8Array.fromHex(hex));
      const flags = ["-D", "-b", "binary", "-m", ...MACHINES[arch]];
      texts[name] = await output(dir, "objdump", ...flags, "code");
    }
    return texts;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Where x86-64's code ends, and its exits to slower code begin. */
const EXITS = /\bcall\s+QWORD PTR \[r13-/;

/** The accesses to the data and to the flag, and the calls before the last. */
function events(text: string): string {
  const found = text.split(EXITS)[0]!.split("\n").flatMap((line) => {
    const match = EVENTS[arch].exec(line);
    if (match === null) return [];
    if (/call|blr/.test(match[0])) return ["call"];
    return [match[1] === undefined ? "data" : "flag"];
  });
  const last = found.findLastIndex((event) => event !== "call");
  return found.slice(0, last + 1).join(" ");
}

Deno.test({
  name:
    "V8 keeps the order of accesses around publish(), acquire() and fence()",
  ignore: !await has("objdump"),
  async fn() {
    const texts = await assembly();
    for (const [name, order] of Object.entries(ORDER[arch])) {
      assertEquals(events(texts[`JS:*'${name}`]!), order, name);
    }
    for (const [name, instruction] of Object.entries(CALLED[arch])) {
      assertMatch(texts[name]!, instruction);
    }
  },
});
