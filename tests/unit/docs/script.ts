/**
 * Runs the scripts of a page on the page's host, which `new Host()` returns. No
 * permission is needed: the script gets its imports and `Deno` as arguments.
 *
 * @module
 */
import * as assert from "@std/assert";
import * as iommufd from "../../../backends/iommufd/mod.ts";
import * as nicCard from "../../../examples/nic/card.ts";
import * as nicPackets from "../../../examples/nic/packets.ts";
import * as nicReplies from "../../../examples/nic/replies.ts";
import * as nvme from "../../../examples/nvme/controller.ts";
import * as diagnostics from "../../../lib/diagnostics/mod.ts";
import * as doctor from "../../../lib/doctor/mod.ts";
import * as handoff from "../../../lib/handoff/mod.ts";
import * as host from "../../../lib/host/mod.ts";
import * as pci from "../../../lib/pci/mod.ts";
import * as provision from "../../../lib/provision/mod.ts";
import * as rings from "../../../lib/rings/mod.ts";
import * as sim from "../../../lib/sim/mod.ts";
import * as uapi from "../../../lib/uapi/mod.ts";
import * as vfio from "../../../mod.ts";
import type { SimulatedHost } from "../../../lib/sim/mod.ts";

const URL_OF_PROJECT = "https://HOST/PATH/";

const MODULES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "mod.ts": vfio,
  "backends/iommufd/mod.ts": iommufd,
  "examples/nic/card.ts": nicCard,
  "examples/nic/packets.ts": nicPackets,
  "examples/nic/replies.ts": nicReplies,
  "examples/nvme/controller.ts": nvme,
  "lib/diagnostics/mod.ts": diagnostics,
  "lib/doctor/mod.ts": doctor,
  "lib/handoff/mod.ts": handoff,
  "lib/host/mod.ts": host,
  "lib/pci/mod.ts": pci,
  "lib/provision/mod.ts": provision,
  "lib/rings/mod.ts": rings,
  "lib/sim/mod.ts": sim,
  "lib/uapi/mod.ts": uapi,
};

/** The environment of a script. */
export interface Surroundings {
  readonly host: SimulatedHost;
  readonly args: readonly string[];
  /** Files that it can read, by path. */
  readonly files: ReadonlyMap<string, string>;
  /** The signal to send while a program runs, if any. */
  readonly interruptedBy?: Deno.Signal | undefined;
}

/** What a script does at a signal, by the signal's name. */
type Listeners = Map<string, () => void>;

/** The result of a script. */
export interface ScriptRun {
  /** Its output. */
  readonly out: string;
  /** The command lines of the programs that it ran. */
  readonly programs: readonly string[];
}

/**
 * Runs a script.
 *
 * @param source The script.
 * @param surroundings Its environment.
 */
export async function runScript(
  source: string,
  surroundings: Surroundings,
): Promise<ScriptRun> {
  const { host } = surroundings;
  let out = "";
  const programs: string[] = [];
  const tests: Array<() => unknown> = [];
  const listeners: Listeners = new Map();
  const console = {
    log(...values: unknown[]) {
      const words = values.map((value) =>
        typeof value === "string" ? value : Deno.inspect(value)
      );
      out += `${words.join(" ")}\n`;
    },
  };
  const module = await import(
    `data:application/typescript,${encodeURIComponent(wrapped(source))}`
  );
  await module.default(
    console,
    pretendedDeno(surroundings, programs, tests, listeners),
    (specifier: string) => moduleOf(specifier, host, listeners),
  );
  for (const test of tests) await test();
  return { out, programs };
}

/**
 * Turns a script into the body of a function, whose arguments are its imports.
 */
function wrapped(source: string): string {
  const imports = /^import ((?:type )?)(\{[^}]*\}) from ("[^"]*");$/gm;
  const body = source.replaceAll(
    imports,
    (_, type: string, names: string, from: string) => {
      if (type !== "") return "";
      const values = names.replaceAll(/\btype \w+,?/g, "")
        .replaceAll(/(\w+) as (\w+)/g, "$1: $2");
      return `const ${values} = load(${from});`;
    },
  ).replaceAll(/^export (?=async |function |const |class )/gm, "");
  if (/^import (?!type)/m.test(body)) {
    throw new SyntaxError(`An import that is not supported: ${body}`);
  }
  return `export default async function (console: any, Deno: any, load: any) {
${body}
}`;
}

function moduleOf(
  specifier: string,
  host: SimulatedHost,
  listeners: Listeners,
): Readonly<Record<string, unknown>> {
  if (specifier === "@std/assert") return assert;
  const path = specifier.startsWith(URL_OF_PROJECT)
    ? specifier.slice(URL_OF_PROJECT.length)
    : specifier.replace(
      /^@passthru\/vfio(?:$|\/(\w+)$)/,
      (_, name?: string) =>
        name === undefined
          ? "mod.ts"
          : `${name === "iommufd" ? "backends" : "lib"}/${name}/mod.ts`,
    );
  const module = MODULES[path];
  if (module === undefined) throw new TypeError(`No entry point: ${specifier}`);
  class Interruption {
    readonly #abort = new AbortController();
    constructor() {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
        listeners.set(name, () => this.#abort.abort());
      }
    }
    get signal() {
      return this.#abort.signal;
    }
    // The script is interrupted at once.
    wait() {
      this.#abort.abort();
      return Promise.resolve();
    }
    [Symbol.dispose]() {}
  }
  // Replaces functions that take a host, and classes that make one by default.
  const here = {
    Host: function () {
      return host;
    },
    Inventory: function () {
      return host;
    },
    Interruption,
  };
  return { ...module, ...pick(here, module) };
}

/** Selects the replacements whose names the module exports. */
function pick(
  from: Readonly<Record<string, unknown>>,
  module: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(from).filter(([name]) => name in module),
  );
}

/**
 * The part of `Deno` that the pages use. A program that is run ends by itself.
 */
/** A span that nobody collects. */
function startSpan() {
  const span = {
    setAttributes: () => span,
    recordException: () => span,
    end: () => {},
  };
  return span;
}

function pretendedDeno(
  { args, files, interruptedBy }: Surroundings,
  programs: string[],
  tests: Array<() => unknown>,
  listeners: Listeners,
) {
  class Command {
    readonly #signal: AbortSignal | undefined;
    constructor(
      program: string,
      { args = [], signal }: { args?: string[]; signal?: AbortSignal },
    ) {
      programs.push([program, ...args].join(" "));
      this.#signal = signal;
    }
    spawn() {
      return { status: this.#end() };
    }
    async #end() {
      await Promise.resolve();
      if (interruptedBy === undefined) return { success: true, code: 0 };
      const listener = listeners.get(interruptedBy);
      if (listener === undefined) throw new Error(`Ended by ${interruptedBy}`);
      listener();
      // Without the signal it would never end.
      assert.assertEquals(this.#signal?.aborted, true, "QEMU is not ended");
      return { success: false, code: 143 };
    }
  }
  return {
    args,
    Command,
    // Deno's own is there where OTEL_DENO is set.
    telemetry: { tracerProvider: { getTracer: () => ({ startSpan }) } },
    readTextFile: (path: string) => {
      const text = files.get(path);
      if (text === undefined) throw new Deno.errors.NotFound(path);
      return Promise.resolve(text);
    },
    test: (_name: string, test: () => unknown) => void tests.push(test),
  };
}
