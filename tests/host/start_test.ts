/**
 * The modules that each entry point loads at its start, so that a script loads
 * only what it uses. `deno task bench` measures the time.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { deno, ROOT } from "../../scripts/dev/deno.ts";

/** The modules that entry points may load. */
interface Start {
  /** Modules, imported one after the other, as a command imports its own. */
  readonly entries: readonly string[];
  /** How many modules they may load, themselves included. */
  readonly most: number;
  /** The folders and single modules that these are in. */
  readonly within: readonly string[];
}

/** The modules about PCI. */
const PCI = [
  "lib/errors.ts",
  "lib/hex.ts",
  "lib/printable.ts",
  "lib/pci",
  "lib/uapi",
];

/** The modules about a host. */
const HOST = [...PCI, "lib/host", "lib/kernel"];

/** The modules of the command. */
const COMMAND = [
  "scripts/passthru.ts",
  "scripts/passthru",
  "lib/printable.ts",
];

const STARTS: Readonly<Record<string, Start>> = {
  "a device script": {
    entries: ["mod.ts"],
    most: 72,
    within: [
      "mod.ts",
      "backends",
      "lib/device",
      "lib/dma",
      "lib/ranges.ts",
      "lib/tracing.ts",
      ...HOST,
    ],
  },
  "a host": { entries: ["lib/host/host.ts"], most: 45, within: HOST },
  "the command's help": {
    entries: ["scripts/passthru.ts", "scripts/passthru/help.ts"],
    most: 12,
    within: COMMAND,
  },
  "the command's list": {
    entries: [
      "scripts/passthru.ts",
      "lib/host/host.ts",
      "scripts/passthru/commands/list.ts",
    ],
    most: 58,
    within: [...COMMAND, ...HOST],
  },
  "@passthru/vfio/host": {
    entries: ["lib/host/mod.ts"],
    most: 71,
    within: HOST,
  },
  "@passthru/vfio/pci": {
    entries: ["lib/pci/mod.ts"],
    most: 36,
    within: PCI,
  },
  "@passthru/vfio/uapi": {
    entries: ["lib/uapi/mod.ts"],
    most: 30,
    within: ["lib/uapi"],
  },
  "@passthru/vfio/diagnostics": {
    entries: ["lib/diagnostics/mod.ts"],
    most: 3,
    within: ["lib/diagnostics", "lib/tracing.ts", "node:diagnostics_channel"],
  },
  "@passthru/vfio/doctor": {
    entries: ["lib/doctor/mod.ts"],
    most: 74,
    within: ["lib/doctor", "lib/text.ts", ...HOST],
  },
  "@passthru/vfio/handoff": {
    entries: ["lib/handoff/mod.ts"],
    most: 82,
    within: [
      "lib/handoff",
      "lib/ranges.ts",
      "lib/suggest.ts",
      "lib/text.ts",
      "backends",
      ...HOST,
    ],
  },
  "@passthru/vfio/iommufd": {
    entries: ["backends/iommufd/mod.ts"],
    most: 96,
    within: ["backends", ...HOST],
  },
  "@passthru/vfio/provision": {
    entries: ["lib/provision/mod.ts"],
    most: 171,
    within: [
      "lib/handoff",
      "lib/provision",
      "lib/rule.ts",
      "lib/suggest.ts",
      "lib/text.ts",
      "lib/tracing.ts",
      ...HOST,
    ],
  },
  "@passthru/vfio/rings": {
    entries: ["lib/rings/mod.ts"],
    most: 9,
    within: ["lib/rings", "lib/errors.ts", "lib/printable.ts", "lib/kernel"],
  },
  "@passthru/vfio/sim": {
    entries: ["lib/sim/mod.ts"],
    most: 254,
    within: [
      "lib/sim",
      "lib/ranges.ts",
      "lib/rule.ts",
      "lib/suggest.ts",
      ...HOST,
    ],
  },
};

/** A module, and its imports that are loaded at run time. */
interface Module {
  readonly specifier: string;
  readonly dependencies?: ReadonlyArray<{
    readonly isDynamic?: boolean;
    readonly code?: { readonly specifier?: string };
  }>;
}

/** The modules that a module reaches, by specifier. */
async function graph(entry: string): Promise<Map<string, Module>> {
  const command = await deno("info", ["--json", entry], { stdout: "piped" });
  const { success, stdout } = await command.output();
  assertEquals(success, true, entry);
  const { modules }: { modules: Module[] } = JSON.parse(
    new TextDecoder().decode(stdout),
  );
  return new Map(modules.map((module) => [module.specifier, module]));
}

/** The modules that a module itself imports, by specifier. */
function importedBy({ dependencies = [] }: Module): string[] {
  return dependencies.flatMap(({ isDynamic, code }) =>
    isDynamic ? [] : code?.specifier ?? []
  );
}

/**
 * What is loaded when a module is imported: paths in the checkout, or other
 * specifiers.
 *
 * @param entry the module
 * @param without modules that are left out, and what only they import
 */
async function loaded(
  entry: string,
  without: readonly string[] = [],
): Promise<string[]> {
  const modules = await graph(entry);
  const left = new Set(without.map((path) => new URL(path, ROOT).href));
  const found = new Set([new URL(entry, ROOT).href]);
  for (const specifier of found) {
    const module = modules.get(specifier);
    for (const next of module === undefined ? [] : importedBy(module)) {
      if (!left.has(next)) found.add(next);
    }
  }
  return [...found].map((specifier) => specifier.replace(ROOT.href, ""));
}

for (const [name, { entries, most, within }] of Object.entries(STARTS)) {
  Deno.test(`${name} loads only the modules that it needs, and none of Node's`, async () => {
    const lists = await Promise.all(
      entries.map((entry) => loaded(entry)),
    );
    const modules = [...new Set(lists.flat())].sort();
    const foreign = modules.filter((path) =>
      !within.some((place) => path === place || path.startsWith(`${place}/`))
    );
    assertEquals(foreign, []);
    assertEquals(
      modules.length <= most,
      true,
      `${modules.length} modules in place of ${most}:\n${modules.join("\n")}`,
    );
  });
}

/** Entry points, and the lists of all that they load. */
const PRELOADS: Readonly<Record<string, readonly string[]>> = {
  "lib/host/host.ts": ["lib/host/preload.ts"],
  "mod.ts": [
    "lib/host/preload.ts",
    "lib/device/preload.ts",
  ],
};

for (const [entry, lists] of Object.entries(PRELOADS)) {
  Deno.test(`${lists.at(-1)} lists what ${entry} loads, and nothing else`, async () => {
    const modules = await graph(entry);
    const listed = lists.flatMap((list) =>
      importedBy(modules.get(new URL(list, ROOT).href)!)
    ).map((specifier) => specifier.replace(ROOT.href, ""));
    const entries = new Set(Object.keys(PRELOADS));
    const needed = await loaded(entry, lists);
    assertEquals(
      listed.sort(),
      needed.filter((path) => !entries.has(path)).sort(),
    );
  });
}

/** A list of what is loaded when the first device is attached. */
interface LaterList {
  /** What is loaded. It imports the list, or is it. */
  readonly entry: string;
  /** What was loaded before that. */
  readonly after: readonly string[];
}

const LATER_LISTS: Readonly<Record<string, LaterList>> = {
  "backends/preload.ts": { entry: "lib/dma/attaching.ts", after: ["mod.ts"] },
  "lib/device/parts.ts": {
    entry: "lib/device/parts.ts",
    after: ["mod.ts", "lib/dma/attaching.ts"],
  },
};

for (const [list, { entry, after }] of Object.entries(LATER_LISTS)) {
  Deno.test(`${entry} and ${list} list what the first attach loads, and nothing else`, async () => {
    const modules = await graph(entry);
    const before = (await Promise.all(after.map((path) => loaded(path))))
      .flat();
    const known = new Set([entry, list, ...before]);
    const listed = new Set(
      [entry, list].flatMap((path) =>
        importedBy(modules.get(new URL(path, ROOT).href)!)
      ).map((specifier) => specifier.replace(ROOT.href, "")),
    );
    assertEquals(
      [...listed].filter((path) => path !== list && !after.includes(path))
        .sort(),
      (await loaded(entry)).filter((path) => !known.has(path)).sort(),
    );
  });
}

Deno.test("mod.ts loads what serves an attached device only when one is attached", async () => {
  const modules = await graph("mod.ts");
  const first = new Set(await loaded("mod.ts"));
  for (const entry of ["lib/dma/attaching.ts", "lib/device/parts.ts"]) {
    assertEquals(modules.has(new URL(entry, ROOT).href), true, entry);
    assertEquals(first.has(entry), false, entry);
  }
});

Deno.test("mod.ts loads the code for taking and recording only when it is used", async () => {
  const later = /^lib\/host\/(guards|journal|snapshot|take|driver\/driver\.ts)/;
  // A module of types, which does not exist at run time.
  const types = "lib/host/snapshot/recording.ts";
  assertEquals(
    (await loaded("mod.ts")).filter((path) =>
      later.test(path) && path !== types
    ),
    [],
  );
});

Deno.test("passthru has no specifier of a package that Deno looks up before the start", async () => {
  const modules = await graph("scripts/passthru.ts");
  const named = [...modules.values()].flatMap(({ dependencies = [] }) =>
    dependencies.map(({ code }) => code?.specifier ?? "")
  );
  assertEquals(named.filter((name) => /^(npm|jsr|https?):/.test(name)), []);
});

/** Runs the command without a reachable registry and without a cache. */
async function withoutRegistry(script: string, flags: readonly string[]) {
  const cache = await Deno.makeTempDir();
  try {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-config", "--no-prompt", "--allow-ffi", ...flags],
        ...[script, "--help"],
      ],
      stdin: "null",
      env: {
        DENO_DIR: cache,
        // Nothing answers there.
        JSR_URL: "http://127.0.0.1:9/",
        NPM_CONFIG_REGISTRY: "http://127.0.0.1:9/",
      },
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    return { code, stdout: out!, stderr: err! };
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

Deno.test("passthru starts when no registry is in reach and nothing is cached", async () => {
  const script = fromFileUrl(new URL("scripts/passthru.ts", ROOT));
  const { code, stdout, stderr } = await withoutRegistry(script, [
    "--cached-only",
  ]);
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, "passthru COMMAND");
});

Deno.test("passthru starts by URL when imports are allowed only from its host", async () => {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async ({ url }) => {
      const path = new URL(`.${new URL(url).pathname}`, ROOT);
      return new Response(await Deno.readTextFile(path), {
        headers: { "content-type": "application/typescript" },
      });
    },
  );
  const host = `127.0.0.1:${server.addr.port}`;
  const { code, stdout, stderr } = await withoutRegistry(
    `http://${host}/scripts/passthru.ts`,
    [`--allow-import=${host}`, "--quiet"],
  );
  assertEquals([code, stderr], [0, ""]);
  assertStringIncludes(stdout, "passthru COMMAND");
});
