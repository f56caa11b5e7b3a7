/**
 * Checks that dependencies point one way, and that some text occurs in one
 * place only. `imports.ts` prints each breach and exits with 1 if there is one.
 *
 * @module
 */
import { deno, ROOT } from "./deno.ts";
import { typescriptFiles } from "./files.ts";

/** A module of the checkout. */
export interface Module {
  /** Such as `lib/host/groups.ts`. */
  readonly path: string;
  /** Its imports, types included: paths, or specifiers of packages. */
  readonly imports: readonly string[];
  /** Its text. */
  readonly source: string;
}

/**
 * Each layer, and those right below it. It may import them, what is below them,
 * and itself. `lib` has the files that are in no folder of `lib/`.
 */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "lib/uapi": [],
  "lib/kernel": ["lib/uapi"],
  "lib": ["lib/kernel"],
  "lib/diagnostics": ["lib"],
  "lib/pci": ["lib"],
  "lib/host": ["lib/pci"],
  "backends": ["lib/host"],
  "lib/dma": ["backends"],
  "lib/device": ["lib/dma"],
  "lib/rings": ["lib/device"],
  "mod.ts": ["lib/device"],
  "lib/doctor": ["lib/host"],
  "lib/handoff": ["lib/device"],
  "lib/provision": ["lib/handoff"],
  "lib/sim": ["lib/host"],
};

/** Text that the library may contain in one place only, or nowhere. */
const TEXT_RULES: ReadonlyArray<{
  readonly text: RegExp;
  readonly place?: string;
  readonly breach: string;
}> = [
  {
    text: /\bDeno\.dlopen\(/,
    place: "lib/kernel/libc/",
    breach: "calls Deno.dlopen: only lib/kernel/libc/ may",
  },
  {
    text: /\b0x3b[0-9a-f]{2}\b/i,
    place: "lib/uapi/",
    breach: "spells an ioctl number: only lib/uapi/ may",
  },
  {
    text:
      /\bDeno\.(Command|lstat|mkdir|open|read|remove(?!Signal)|rename|stat|write)/,
    breach: "calls the system: use the Kernel, which needs one permission",
  },
];

/** The modules of a single backend, by their names. */
const A_BACKEND = /^backends\/(iommufd|legacy)/;

/** The layer of a path, or undefined outside the library. */
function layerOf(path: string): string | undefined {
  if (path === "mod.ts") return path;
  const [top, folder, ...rest] = path.split("/");
  if (top === "backends") return top;
  if (top !== "lib") return undefined;
  return rest.length === 0 ? top : `${top}/${folder}`;
}

/** The layers that a layer may import: itself and all below. */
function importableLayers(layer: string): Set<string> {
  const below = LAYERS[layer] ?? [];
  return new Set([
    layer,
    ...below.flatMap((name) => [...importableLayers(name)]),
  ]);
}

/** Explains which rule an import of the library breaks, if any. */
function importBreach(from: string, to: string): string | undefined {
  const layer = layerOf(from)!;
  if (LAYERS[layer] === undefined) return `no layer is named ${layer}`;
  if (to.startsWith("node:")) return undefined;
  const target = layerOf(to);
  const allowed = importableLayers(layer);
  if (target === undefined || !allowed.has(target)) {
    return `${layer} may import ${[...allowed].sort().join(", ")} and node:`;
  }
  if (layer !== "backends" && A_BACKEND.test(to)) {
    return "only backends/ may import a single backend";
  }
}

/** Finds import cycles by a depth-first search. */
function cycles(modules: readonly Module[]): string[] {
  const imports = new Map(modules.map((m) => [m.path, m.imports]));
  const done = new Set<string>();
  const found: string[] = [];
  function visit(path: string, trail: readonly string[]): void {
    const start = trail.indexOf(path);
    if (start >= 0) {
      found.push(`import cycle: ${[...trail.slice(start), path].join(" → ")}`);
    }
    if (start >= 0 || done.has(path)) return;
    for (const next of imports.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  }
  for (const { path } of modules) visit(path, []);
  return found;
}

/**
 * Finds each place where modules break a rule.
 *
 * @param modules the modules, and everything local that they import
 * @returns a line for each breach
 */
export function breaches(modules: readonly Module[]): string[] {
  const layered = modules.filter(({ path }) => layerOf(path) !== undefined);
  return [
    ...layered.flatMap(({ path, imports }) =>
      imports.flatMap((to) => {
        const problem = importBreach(path, to);
        return problem === undefined
          ? []
          : [`${path} imports ${to}: ${problem}`];
      })
    ),
    ...layered.flatMap(({ path, source }) =>
      TEXT_RULES
        .filter(({ text, place = "(none)" }) =>
          !path.startsWith(place) && text.test(source)
        )
        .map(({ breach }) => `${path} ${breach}`)
    ),
    ...cycles(modules),
  ];
}

/** The part of the output of `deno info --json` that is needed here. */
interface Info {
  modules: Array<{
    specifier: string;
    error?: string;
    dependencies?: Array<{
      specifier: string;
      code?: { specifier?: string };
      type?: { specifier?: string };
    }>;
  }>;
}

/**
 * Reads the modules below a folder, with their imports as Deno resolves them.
 *
 * @param root the folder, as a `file:` URL with a slash at its end
 * @returns every local module among what {@linkcode typescriptFiles} finds
 * there and what that imports
 */
export async function readModules(root: URL): Promise<Module[]> {
  const paths = await Array.fromAsync(typescriptFiles(root, ""));
  // One graph has all of them: a run for each would take seconds.
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      entry,
      paths.map((path) => `import ${JSON.stringify(new URL(path, root))};\n`)
        .join(""),
    );
    const command = await deno("info", ["--json", entry], { stdout: "piped" });
    const { success, stdout } = await command.output();
    if (!success) throw new Error("Cannot read the module graph");
    const { modules }: Info = JSON.parse(new TextDecoder().decode(stdout));
    // The type check reports a module that cannot be read.
    const local = modules.filter(({ specifier, error }) =>
      specifier.startsWith(root.href) && error === undefined
    );
    return await Promise.all(
      local.map(async ({ specifier, dependencies = [] }) => ({
        path: specifier.slice(root.href.length),
        imports: dependencies.map(({ specifier, code, type }) =>
          specifier.startsWith(".")
            ? (code ?? type)!.specifier!.replace(root.href, "")
            : specifier
        ),
        source: await Deno.readTextFile(new URL(specifier)),
      })),
    );
  } finally {
    await Deno.remove(entry);
  }
}

if (import.meta.main) {
  const found = breaches(await readModules(ROOT));
  for (const line of found) console.error(line);
  Deno.exit(found.length === 0 ? 0 : 1);
}
