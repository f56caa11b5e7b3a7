/**
 * Runs every command and every script of the README and of the guides on the
 * page's host, in the order of the page, and compares the output with that in
 * the page.
 */
import { assert, assertEquals } from "@std/assert";
import architecture from "../../../docs/architecture.md" with { type: "text" };
import comingFrom from "../../../docs/coming_from.md" with { type: "text" };
import desiredState from "../../../docs/desired_state.md" with { type: "text" };
import errors from "../../../docs/errors.md" with { type: "text" };
import graphicsCard from "../../../docs/graphics_card.md" with { type: "text" };
import handOver from "../../../docs/hand_over.md" with { type: "text" };
import iommufd from "../../../docs/iommufd.md" with { type: "text" };
import migrate from "../../../docs/migrate.md" with { type: "text" };
import nicPage from "../../../docs/nic.md" with { type: "text" };
import nvmePage from "../../../docs/nvme.md" with { type: "text" };
import support from "../../../docs/support.md" with { type: "text" };
import tests from "../../../docs/tests.md" with { type: "text" };
import testAScript from "../../../docs/test_a_script.md" with { type: "text" };
import trace from "../../../docs/trace.md" with { type: "text" };
import virtualFunctions from "../../../docs/virtual_functions.md" with {
  type: "text",
};
import writeADriver from "../../../docs/write_a_driver.md" with {
  type: "text",
};
import doctor from "../../../lib/doctor/README.md" with { type: "text" };
import handoff from "../../../lib/handoff/README.md" with { type: "text" };
import hostPage from "../../../lib/host/README.md" with { type: "text" };
import provision from "../../../lib/provision/README.md" with { type: "text" };
import readme from "../../../README.md" with { type: "text" };
import scripts from "../../../scripts/README.md" with { type: "text" };
import deskHost from "../../docs/desk.json" with { type: "text" };
import driverHost from "../../docs/driver.json" with { type: "text" };
import iommufdHost from "../../docs/iommufd.json" with { type: "text" };
import movableHost from "../../docs/movable.json" with { type: "text" };
import nicHost from "../../docs/nic.json" with { type: "text" };
import nvmeHost from "../../docs/nvme.json" with { type: "text" };
import spareHost from "../../docs/spare.json" with { type: "text" };
import networkHost from "../../docs/network.json" with { type: "text" };
import errorsSource from "../../../lib/errors.ts" with { type: "text" };
import config from "../../../deno.json" with { type: "json" };
import { simulate } from "../../../lib/sim/mod.ts";
import type { SimulatedHost } from "../../../lib/sim/mod.ts";
import { call } from "../passthru_bench.ts";
import { type Block, blocksOf, commandLines, isAsShown } from "./page.ts";
import { runScript } from "./script.ts";

/** The hosts that pages link to. */
const HOSTS: Readonly<Record<string, string>> = {
  "desk.json": deskHost,
  "driver.json": driverHost,
  "iommufd.json": iommufdHost,
  "movable.json": movableHost,
  "network.json": networkHost,
  "nic.json": nicHost,
  "nvme.json": nvmeHost,
  "spare.json": spareHost,
};

/** The pages, by their paths. */
const PAGES: Readonly<Record<string, string>> = {
  "README.md": readme,
  "docs/architecture.md": architecture,
  "docs/coming_from.md": comingFrom,
  "docs/desired_state.md": desiredState,
  "docs/errors.md": errors,
  "docs/graphics_card.md": graphicsCard,
  "docs/hand_over.md": handOver,
  "docs/iommufd.md": iommufd,
  "docs/migrate.md": migrate,
  "docs/nic.md": nicPage,
  "docs/nvme.md": nvmePage,
  "docs/support.md": support,
  "docs/test_a_script.md": testAScript,
  "docs/tests.md": tests,
  "docs/trace.md": trace,
  "docs/virtual_functions.md": virtualFunctions,
  "docs/write_a_driver.md": writeADriver,
};

/** The pages of folders. Their scripts are run. */
const FOLDERS: Readonly<Record<string, string>> = {
  "lib/doctor/README.md": doctor,
  "lib/handoff/README.md": handoff,
  "lib/host/README.md": hostPage,
  "lib/provision/README.md": provision,
};

/** A page that is being run. */
class Page {
  readonly host: SimulatedHost;
  readonly #files = new Map<string, string>();
  readonly #isRun = new Set<string>();
  /** The output of the last block. */
  #printed: string | undefined;

  constructor(text: string) {
    // The page names its host by a link.
    const [, host = "spare.json"] =
      /\]\((?:\.\.\/)?tests\/docs\/(\w+\.json)\)/.exec(text) ?? [];
    const recorded = HOSTS[host];
    assert(recorded !== undefined, `No host is named ${host}`);
    this.#files.set("host.json", recorded);
    this.host = simulate(JSON.parse(recorded));
  }

  /** Runs a block, or compares it with the output of the block before. */
  async run(block: Block): Promise<void> {
    const [language = "", mark] = block.info;
    if (block.file !== undefined) {
      this.#files.set(block.file, block.text);
      return;
    }
    if (language === "text") {
      assert(this.#printed !== undefined, "nothing has printed this");
      if (!isAsShown(this.#printed, block.text)) {
        assertEquals(this.#printed.trimEnd(), block.text.trimEnd());
      }
    }
    this.#printed = undefined;
    if (mark === "ignore") return;
    if (language === "ts") await this.#script(block.text, []);
    if (language === "sh") await this.#commands(block.text, mark === "fails");
  }

  /** The scripts that no command has run. */
  get neverRun(): string[] {
    return [...this.#files.keys()].filter((file) =>
      file.endsWith(".ts") && !this.#isRun.has(file)
    );
  }

  async #commands(text: string, fails: boolean): Promise<void> {
    let printed = "";
    const lines = commandLines(text);
    for (const [i, { words, output }] of lines.entries()) {
      const before = printed.length;
      const isToFail = fails && i === lines.length - 1;
      printed += await this.#command(words, isToFail);
      if (output === undefined) continue;
      this.#files.set(output, printed.slice(before));
      printed = printed.slice(0, before);
    }
    this.#printed = printed;
  }

  /** Runs a command, or checks that its file exists. */
  async #command(words: readonly string[], fails: boolean): Promise<string> {
    // An environment in front of it is of no effect here.
    const [program, subcommand, ...rest] = words
      .slice(words.findIndex((word) => !/^[A-Z_]+=/.test(word)));
    if (program === "passthru") return await this.#passthru(words, fails);
    assertEquals(program, "deno", `cannot run ${words.join(" ")}`);
    if (subcommand === "task") {
      assert(Object.hasOwn(config.tasks, rest[0]!), `no task ${rest[0]}`);
    } else if (subcommand === "install") {
      assertEquals(rest.at(-1), "https://HOST/PATH/scripts/passthru.ts");
    } else {
      assert(subcommand === "run" || subcommand === "test", words.join(" "));
      const at = rest.findIndex((word) => word.endsWith(".ts"));
      const file = rest[at]!;
      // Examples have their own tests.
      if (file.startsWith("examples/")) return "";
      const source = this.#files.get(file);
      assert(source !== undefined, `the page has no ${file}`);
      this.#isRun.add(file);
      assertFlags(source, subcommand, rest.slice(0, at));
      return await this.#script(source, rest.slice(at + 1));
    }
    return "";
  }

  async #passthru(words: readonly string[], fails: boolean): Promise<string> {
    const [, ...argv] = words;
    const interrupted = new AbortController();
    const { code, out, err } = await call(this.host, argv, {
      files: Object.fromEntries(this.#files),
      saved: (path, text) => void this.#files.set(path, text),
      signal: interrupted.signal,
      // `attach` goes on until it is interrupted.
      written: () => argv.includes("attach") && interrupted.abort(),
    });
    if (argv.includes("qemu") && !argv.includes("emit")) {
      // The command succeeds up to QEMU, which cannot be run without
      // permission, and need not be there.
      const refusal = /(run access to "|Cannot run )qemu-system-x86_64/;
      assert(refusal.test(err), err);
      return "";
    }
    assertEquals(code !== 0, fails, `${words.join(" ")}: ${err}`);
    return out + err;
  }

  /** Runs a script, and also interrupts it if it runs a program. */
  async #script(source: string, args: readonly string[]): Promise<string> {
    const before = JSON.stringify(await this.host.snapshot());
    const surroundings = { host: this.host, args, files: this.#files };
    const { out, programs } = await runScript(source, surroundings);
    this.#printed = out;
    if (programs.length === 0) return out;
    for (const interruptedBy of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      await runScript(source, { ...surroundings, interruptedBy });
      assertEquals(
        JSON.stringify(await this.host.snapshot()),
        before,
        interruptedBy,
      );
    }
    return out;
  }
}

/**
 * Asserts that a command gives a script exactly the permissions that it needs.
 */
function assertFlags(
  source: string,
  subcommand: string,
  flags: readonly string[],
): void {
  const needed = [
    ["--allow-import=HOST", source.includes("https://HOST/")],
    ["--allow-ffi", source.includes("new Host()")],
    ["--allow-run", source.includes("Deno.Command")],
    ["--allow-read", source.includes("Deno.readTextFile")],
  ] as const;
  assertEquals(
    flags.map((flag) => flag.replace(/^(--allow-(?:run|read))=.*/, "$1"))
      .toSorted(),
    needed.filter(([, isNeeded]) => isNeeded).map(([flag]) => flag).toSorted(),
    subcommand,
  );
}

for (const [path, text] of Object.entries(PAGES)) {
  Deno.test(`${path} runs unchanged, and prints what it shows`, async () => {
    const page = new Page(text);
    for (const block of blocksOf(text)) {
      try {
        await page.run(block);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        error.message = `${path}:${block.line}: ${error.message}`;
        throw error;
      }
    }
    assertEquals(page.neverRun, []);
  });
}

for (const [path, text] of Object.entries(FOLDERS)) {
  Deno.test(`${path} has scripts that run, and print what it shows`, async () => {
    const page = new Page(text);
    const blocks = blocksOf(text);
    for (const [i, block] of blocks.entries()) {
      const isScript = ({ info }: Block) => info.join(" ") === "ts";
      const follows = block.info[0] === "text" && i > 0 &&
        isScript(blocks[i - 1]!);
      if (isScript(block) || follows) await page.run(block);
    }
  });
}

Deno.test("the README links to every guide, and every guide is run", () => {
  const linked = [...readme.matchAll(/\]\((?:\.\/)?(docs\/\w+\.md)[)#]/g)]
    .map(([, path]) => path!);
  assertEquals(
    [...new Set(linked)].toSorted(),
    Object.keys(PAGES).filter((path) => path !== "README.md"),
  );
});

Deno.test("docs/errors.md has each code of VfioError, in order", () => {
  const [, union] = /export type VfioErrorCode =([^;]*);/.exec(errorsSource)!;
  assertEquals(
    [...errors.matchAll(/^\| `(\w+)` /gm)].map(([, code]) => code),
    [...union!.matchAll(/"(\w+)"/g)].map(([, code]) => code),
  );
});

Deno.test("docs/architecture.md has each entry point with its file", () => {
  const rows = /^\| `(@passthru\/vfio[\w/]*)` *\| `([\w./]+)` /gm;
  assertEquals(
    Object.fromEntries(
      [...architecture.matchAll(rows)].map(([, name, file]) => [name, file]),
    ),
    Object.fromEntries(
      Object.entries(config.exports).map(([name, file]) => [
        name.replace(/^\./, "@passthru/vfio"),
        file.replace(/^\.\//, ""),
      ]),
    ),
  );
});

Deno.test("every link between pages has an existing page and heading", () => {
  const pages: Record<string, string> = {
    ...PAGES,
    "scripts/README.md": scripts,
  };
  for (const [path, text] of Object.entries(PAGES)) {
    for (const [, to] of text.matchAll(/\]\(([^):]+\.md(?:#[\w-]+)?)\)/g)) {
      const { pathname, hash } = new URL(to!, `file:///${path}`);
      const target = pages[pathname.slice(1)];
      if (target === undefined || hash === "") continue;
      const headings = [...target.matchAll(/^#+ (.*)$/gm)].map(([, words]) =>
        `#${words!.toLowerCase().replace(/[^\w -]/g, "").replaceAll(" ", "-")}`
      );
      assert(headings.includes(hash), `${path} links to ${to}`);
    }
  }
});
