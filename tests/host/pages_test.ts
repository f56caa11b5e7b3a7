/**
 * Runs a script of the guides in a process, with the signals and the
 * permissions that the guide names.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { toFileUrl } from "@std/path";
import { ROOT } from "../../scripts/dev/deno.ts";
import { chooseConfig } from "../../scripts/dev/std.ts";

const CONFIG = new URL(await chooseConfig(), ROOT).pathname;

/** Reads a script of a page, and changes it to run on the page's host. */
async function scriptOf(page: string, name: string, host: string) {
  const text = await Deno.readTextFile(new URL(page, ROOT));
  const [, script] = new RegExp(`\`\`\`ts\\n(// ${name}\\n.*?)\`\`\``, "s")
    .exec(text)!;
  const recording = await Deno.readTextFile(new URL(host, ROOT));
  const simulatedScript = script!.replace(
    "new Host()",
    `simulate(${recording})`,
  )
    .replace("import { Host }", "import type { Host }");
  assert(simulatedScript !== script);
  return `import { simulate } from "https://HOST/PATH/lib/sim/mod.ts";\n${simulatedScript}`
    .replaceAll("https://HOST/PATH/", ROOT.href);
}

/** A script of the page, running, with a QEMU that ends when it is told to. */
class PageScript {
  readonly #folder: string;
  readonly #child: Deno.ChildProcess;
  readonly #printed: Promise<string>;
  /** Its standard error so far. */
  #errors = "";

  private constructor(folder: string, child: Deno.ChildProcess) {
    this.#folder = folder;
    this.#child = child;
    this.#printed = new Response(child.stdout).text();
  }

  /**
   * Starts the script.
   *
   * @param qemu What QEMU does once it runs, in sh.
   * @param before The program that starts it, if any.
   */
  static async start(
    qemu: string,
    before: readonly string[] = [],
  ): Promise<PageScript> {
    const folder = await Deno.makeTempDir();
    await Deno.writeTextFile(
      `${folder}/qemu-system-x86_64`,
      `#!/bin/sh\necho running >&2\n${qemu}\n`,
      { mode: 0o755 },
    );
    const page = "docs/graphics_card.md";
    await Deno.writeTextFile(
      `${folder}/windows.ts`,
      await scriptOf(page, "windows.ts", "tests/docs/desk.json"),
    );
    const [program, ...args] = [
      ...[...before, Deno.execPath(), "run", "--no-prompt", "--no-lock"],
      ...["--config", CONFIG, "--allow-ffi"],
      "--allow-run=qemu-system-x86_64",
      toFileUrl(`${folder}/windows.ts`).href,
    ];
    const child = new Deno.Command(program!, {
      args,
      env: { PATH: `${folder}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    return new PageScript(folder, child);
  }

  /**
   * Waits for its end, and calls `runs` once QEMU runs. Returns its standard
   * error.
   */
  async end(runs: (child: Deno.ChildProcess) => void): Promise<string> {
    const errors = this.#child.stderr.pipeThrough(new TextDecoderStream());
    for await (const text of errors) {
      const wasRunning = this.#errors.includes("running");
      this.#errors += text;
      if (!wasRunning && this.#errors.includes("running")) runs(this.#child);
    }
    assertEquals((await this.#child.status).code, 0, this.#errors);
    const lines = (await this.#printed).trimEnd().split("\n");
    assertEquals(
      [lines[0], lines[1], lines.at(-1)],
      [
        "nouveau, snd_hda_intel",
        "vfio-pci, vfio-pci",
        "nouveau, snd_hda_intel",
      ],
    );
    return this.#errors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

Deno.test("the script for a graphics card gives it back when QEMU ends", async () => {
  await using script = await PageScript.start("");
  await script.end(() => {});
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`the script for a graphics card gives it back when it gets ${signal}`, async () => {
    await using script = await PageScript.start("exec sleep 60");
    await script.end((child) => child.kill(signal));
  });
}

Deno.test("the script for a graphics card goes on after SIGHUP when nohup has started it", async () => {
  await using script = await PageScript.start(
    "sleep 0.5; echo ended by itself >&2",
    ["nohup"],
  );
  const errors = await script.end((child) => child.kill("SIGHUP"));
  assertStringIncludes(errors, "ended by itself");
});
