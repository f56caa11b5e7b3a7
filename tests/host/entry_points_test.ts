import { assertEquals, assertMatch } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";
import { entryPoints } from "../../scripts/dev/entry_points.ts";
import { runScript } from "./child.ts";

/** One export of each entry point. */
const EXPECTED: Record<string, string> = {
  "mod.ts": "VfioDevice",
  "backends/iommufd/mod.ts": "Hwpt",
  "lib/diagnostics/mod.ts": "channels",
  "lib/doctor/mod.ts": "diagnose",
  "lib/handoff/mod.ts": "qemuArguments",
  "lib/host/mod.ts": "usesOf",
  "lib/pci/mod.ts": "parsePciAddress",
  "lib/provision/mod.ts": "plan",
  "lib/rings/mod.ts": "Ring",
  "lib/sim/mod.ts": "simulate",
  "lib/uapi/mod.ts": "io",
};

/** Serves the checkout, and records the requested paths. */
function serveCheckout() {
  const paths: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      paths.push(pathname);
      try {
        const text = await Deno.readTextFile(new URL(`.${pathname}`, ROOT));
        return new Response(text, {
          headers: { "content-type": "application/typescript" },
        });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        return new Response(null, { status: 404 });
      }
    },
  );
  return { server, paths };
}

Deno.test("every entry point is imported by URL without a permission", async () => {
  const { server, paths } = serveCheckout();
  await using _server = server;
  const origin = `127.0.0.1:${server.addr.port}`;
  const modules = await entryPoints();
  const cache = await Deno.makeTempDir();
  try {
    // Static specifiers, as loading others needs a permission.
    const imports = modules.map((path, i) =>
      `import * as m${i} from "http://${origin}/${path}";`
    );
    const names = modules.map((path, i) => `"${path}": Object.keys(m${i})`);
    const { code, stdout, stderr } = await runScript(
      `${imports.join("\n")}\nconsole.log(JSON.stringify({ ${names} }));`,
      ["--quiet", `--allow-import=${origin}`],
      { DENO_DIR: cache },
    );
    assertEquals([code, stderr], [0, ""]);
    const exported: Record<string, string[]> = JSON.parse(stdout);
    const found = Object.entries(exported).map(([path, names]) => [
      path,
      names.find((name) => name === EXPECTED[path]),
    ]);
    assertEquals(Object.fromEntries(found), EXPECTED);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
  for (const path of paths) {
    assertMatch(path, /^\/(mod\.ts|(lib|backends)\/.+\.ts)$/);
  }
});
