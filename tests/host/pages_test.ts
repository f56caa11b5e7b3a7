/**
 * Runs a script of the guides in a process, with the signals and the
 * permissions that the guide names.
 */
import { assert, assertEquals } from "@std/assert";
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

for (const signal of [undefined, "SIGINT", "SIGTERM", "SIGHUP"] as const) {
  const when = signal === undefined ? "QEMU ends" : `it gets ${signal}`;
  Deno.test(`the script for a graphics card gives it back when ${when}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const qemu = `${folder}/qemu-system-x86_64`;
      const runs = signal === undefined ? "" : "exec sleep 60";
      await Deno.writeTextFile(qemu, `#!/bin/sh\necho running >&2\n${runs}\n`, {
        mode: 0o755,
      });
      await Deno.writeTextFile(
        `${folder}/windows.ts`,
        await scriptOf(
          "docs/graphics_card.md",
          "windows.ts",
          "tests/docs/desk.json",
        ),
      );
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "--no-prompt", "--no-lock", "--config", CONFIG],
          ...["--allow-ffi", "--allow-run=qemu-system-x86_64"],
          toFileUrl(`${folder}/windows.ts`).href,
        ],
        env: { PATH: `${folder}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const printed = new Response(child.stdout).text();
      let output = "";
      for await (
        const text of child.stderr.pipeThrough(new TextDecoderStream())
      ) {
        output += text;
        if (signal !== undefined && output.includes("running")) {
          child.kill(signal);
        }
      }
      assertEquals((await child.status).code, 0, output);
      const lines = (await printed).trimEnd().split("\n");
      assertEquals(
        [lines[0], lines[1], lines.at(-1)],
        [
          "nouveau, snd_hda_intel",
          "vfio-pci, vfio-pci",
          "nouveau, snd_hda_intel",
        ],
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
