/**
 * The library imported by URL.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { EDU_ID } from "./edu.ts";
import { addressOf, host, machine } from "./setup.ts";

const CHECKOUT = new URL("../../../", import.meta.url);

/** Serves the checkout, and records the requested paths. */
function serveCheckout() {
  const paths: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      paths.push(pathname);
      const text = await Deno.readTextFile(new URL(`.${pathname}`, CHECKOUT));
      return new Response(text, {
        headers: { "content-type": "application/typescript" },
      });
    },
  );
  return { server, paths };
}

Deno.test({
  name:
    "mod.ts attaches a device by each backend when it is imported by URL with no permission but FFI",
  ignore: machine.backends.length === 0,
  async fn() {
    await using _taken = await host.take(addressOf("edu0"));
    const { server, paths } = serveCheckout();
    await using _server = server;
    const origin = `127.0.0.1:${server.addr.port}`;
    const directory = await Deno.makeTempDir();
    await Deno.writeTextFile(
      `${directory}/script.ts`,
      `import { AddressSpace, VfioDevice } from "http://${origin}/mod.ts";

for (const backend of ${JSON.stringify(machine.backends)}) {
  await using space = new AddressSpace({ backend });
  await using device = await VfioDevice.attach("${addressOf("edu0")}", space);
  using registers = device.region(0).map();
  console.log(space.backend?.backend, registers.read32(0));
}
`,
    );
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--no-prompt", `--allow-import=${origin}`, "--allow-ffi"],
        "script.ts",
      ],
      cwd: directory,
      env: { DENO_DIR: `${directory}/cache`, NO_COLOR: "1" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(code, 0, text(stderr));
    assertEquals(
      text(stdout),
      machine.backends.map((backend) => `${backend} ${EDU_ID}\n`).join(""),
    );
    // Nothing beyond the library is loaded.
    for (const path of paths) {
      assertMatch(path, /^\/(mod\.ts|(lib|backends)\/)/);
    }
  },
});
