/**
 * The first attach of a process, which loads what serves devices: in a process
 * of its own, as here that was loaded before.
 */
import { assertEquals } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";
import { runScript } from "./child.ts";

/** A host with two functions, each in a group of its own. */
const HOST = `
  const common = { id: "8086:10d3", driver: "vfio-pci" };
  const host = simulate({
    functions: {
      "0000:01:00.0": { ...common, group: 1 },
      "0000:02:00.0": { ...common, group: 2 },
    },
  });`;

for (const backend of ["legacy", "iommufd"]) {
  Deno.test(`${backend}: VfioDevice.attach() shares one context when two run at once, the first ones too`, async () => {
    const { code, stdout, stderr } = await runScript(`
      import { AddressSpace, VfioDevice } from "/mod.ts";
      import { simulate } from "/lib/sim/mod.ts";
      ${HOST}
      const open = "/proc/self/fd";
      for (const when of ["first", "later"]) {
        await using space = new AddressSpace({ host, backend: "${backend}" });
        using memory = space.allocate(4096);
        const devices = await Promise.all(["01:00.0", "02:00.0"]
          .map((address) => VfioDevice.attach(address, space)));
        const contexts = host.kernel.readdir(open)
          .map((fd) => host.kernel.readlink(open + "/" + fd))
          .filter((path) => /^.dev.(iommu|vfio.vfio)$/.test(path));
        console.log(when, devices.map(({ name }) => name), contexts.length);
      }`);
    const devices = '[ "0000:01:00.0", "0000:02:00.0" ]';
    assertEquals({ code, stdout, stderr }, {
      code: 0,
      stdout: `first ${devices} 1\nlater ${devices} 1\n`,
      stderr: "",
    });
  });
}

/** Serves the checkout without one of its modules. */
function serveWithout(missing: string): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async ({ url }) => {
      const path = new URL(url).pathname.slice(1);
      if (path === missing) return new Response(null, { status: 404 });
      return new Response(await Deno.readTextFile(new URL(path, ROOT)), {
        headers: { "content-type": "application/typescript" },
      });
    },
  );
}

for (const missing of ["lib/device/parts.ts", "lib/dma/attaching.ts"]) {
  Deno.test(`VfioDevice.attach() leaves nothing behind when ${missing} cannot be loaded`, async () => {
    await using server = serveWithout(missing);
    const host = `127.0.0.1:${server.addr.port}`;
    const cache = await Deno.makeTempDir();
    try {
      const { code, stdout, stderr } = await runScript(
        `
        import { AddressSpace, VfioDevice } from "http://${host}/mod.ts";
        import { simulate } from "http://${host}/lib/sim/mod.ts";
        ${HOST}
        const space = new AddressSpace({ host });
        const memory = space.allocate(4096);
        for (let i = 0; i < 2; i++) {
          const error = await VfioDevice.attach("01:00.0", space)
            .catch((error) => error);
          console.log(error.name, error.message.includes("${missing}"));
        }
        console.log(space.discardable, space.backend);
        await space.mapAsync(memory);
        await space.close();
        console.log(host.kernel.readdir("/proc/self/fd"));`,
        [`--allow-import=${host}`, "--quiet"],
        { DENO_DIR: cache },
      );
      assertEquals({ code, stdout, stderr }, {
        code: 0,
        stdout: "TypeError true\nTypeError true\ntrue undefined\n[]\n",
        stderr: "",
      });
    } finally {
      await Deno.remove(cache, { recursive: true });
    }
  });
}
