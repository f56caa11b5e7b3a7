/**
 * Moves the serial port of the kernel's sample `mtty` from process to process,
 * and leaves it half moved.
 */
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import {
  AddressSpace,
  type BackendName,
  Host,
  VfioDevice,
  VfioError,
} from "../../../mod.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { UART_SCR, UART_TX } from "../../../lib/uapi/linux/serial_reg.ts";
import { faulty } from "../../kernels/fault.ts";
import { holdings } from "./observe.ts";
import { Script } from "./script.ts";
import { host, machine } from "./setup.ts";

const PARENT = "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1";
const BUS = "/sys/bus/mdev/devices";

/** Only the testbed's kernel has the sample. */
const ignore = machine.kernel !== "testbed" || machine.backends.length === 0;

/** A serial port, until it is disposed of. */
interface Port extends Disposable {
  readonly uuid: string;
  readonly path: string;
}

function makePort(): Port {
  for (const module of ["mdev", "mtty"]) {
    new Deno.Command("modprobe", { args: [module] }).outputSync();
  }
  const uuid = crypto.randomUUID();
  host.kernel.writeFile(`${PARENT}/create`, uuid);
  const path = `${BUS}/${uuid}`;
  return {
    uuid,
    path,
    [Symbol.dispose]: () => host.kernel.writeFile(`${path}/remove`, "1"),
  };
}

/** Uses a port for as long as it takes. */
async function withPort<T>(
  { path }: Port,
  use: (device: VfioDevice) => T | Promise<T>,
  backend?: BackendName,
): Promise<T> {
  await using space = new AddressSpace({
    host,
    ...backend === undefined ? {} : { backend },
  });
  await using device = await VfioDevice.attach(host.find(path), space);
  return await use(device);
}

const scratch = (port: Port) =>
  withPort(port, (device) => device.region(0).read8(UART_SCR));

const stateOf = (port: Port) =>
  withPort(port, async (device) => (await device.migration())!.state());

/** Runs a shell's line, in which `passthru` is the command. */
async function shell(line: string): Promise<string> {
  const deno = `${Deno.execPath()} run --no-prompt --no-check --no-lock ` +
    "--config deno.offline.json --allow-ffi scripts/passthru.ts";
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", `passthru() { ${deno} "$@"; }; ${line}`],
  }).output();
  const text = new TextDecoder();
  assertEquals(code, 0, text.decode(stderr));
  return text.decode(stdout);
}

Deno.test({
  name:
    "passthru migrate moves a device to another process by a pipe and by a file, byte for byte",
  ignore,
  async fn() {
    using source = makePort();
    using target = makePort();
    using third = makePort();
    await withPort(source, (device) => {
      device.region(0).write8(UART_SCR, 0x6d);
      device.region(0).write8(UART_TX, 0x6e);
    });
    const file = await Deno.makeTempFile();
    const second = `${file}.2`;
    const printed = await shell(
      `passthru migrate save ${source.uuid} - --precopy | tee ${file} | ` +
        `passthru migrate load ${target.uuid} -`,
    );
    assertEquals(
      printed,
      `${target.uuid} runs with the state of -: 60 bytes\n`,
    );
    assertEquals(await scratch(target), 0x6d);
    assertEquals(await stateOf(target), "running");
    await shell(
      `passthru migrate save ${target.uuid} ${second} && ` +
        `passthru migrate load ${third.uuid} ${second}`,
    );
    assertEquals(await Deno.readFile(second), await Deno.readFile(file));
    assertEquals(await scratch(third), 0x6d);
    // The device that it came from runs again if that is wanted.
    assertEquals(await stateOf(source), "stop");
    await withPort(
      source,
      async (device) => (await device.migration())!.moveTo("running"),
    );
    assertEquals(await scratch(source), 0x6d);
  },
});

for (const backend of machine.backends) {
  Deno.test({
    name:
      `${backend}: a device can be attached and moved after the process that was moving it was killed`,
    ignore,
    async fn() {
      using source = makePort();
      using target = makePort();
      await withPort(source, (device) => device.region(0).write8(UART_SCR, 7));
      await using script = await Script.start(
        {},
        async ({ AddressSpace, Host, VfioDevice, send }, paths, backend) => {
          const host = new Host();
          const space = new AddressSpace({ host, backend });
          const attach = (path: string) =>
            VfioDevice.attach(host.find(path), space);
          const [source, target] = await Promise.all(paths.map(attach));
          const saved = (await source!.migration())!;
          const loaded = (await target!.migration())!;
          const reader = saved.save({ chunkSize: 30 }).getReader();
          const { value } = await reader.read();
          const writer = loaded.load().getWriter();
          await writer.write(value!);
          send([await saved.state(), await loaded.state()]);
          await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
        },
        [source.path, target.path],
        backend,
      );
      assertEquals(await script.next(), ["stop-copy", "resuming"]);
      await script[Symbol.asyncDispose]();
      assertEquals((await script.end()).signal, "SIGKILL");

      // The sample leaves them as they were; a save and a load begin anew.
      const use = <T>(
        port: Port,
        use: (device: VfioDevice) => T | Promise<T>,
      ) => withPort(port, use, backend);
      await use(target, async (device) => {
        const migration = (await device.migration())!;
        assertEquals(await migration.state(), "resuming");
        await migration.moveTo("running");
        assertEquals(await migration.state(), "running");
      });
      const state = await use(source, async (device) => {
        const migration = (await device.migration())!;
        assertEquals(await migration.state(), "stop-copy");
        return await new Response(migration.save() as BodyInit).bytes();
      });
      assertEquals(state.length, 60);
      await use(target, async (device) => {
        const stream = new Response(state).body!;
        await stream.pipeTo((await device.migration())!.load());
        assert(device.region(0).read8(UART_SCR) === 7);
      });
    },
  });
}

for (const backend of machine.backends) {
  Deno.test({
    name:
      `${backend}: a save and a load leave nothing behind when any call fails, and the port can be moved again`,
    ignore,
    async fn() {
      using port = makePort();
      await withPort(port, (device) => device.region(0).write8(UART_SCR, 7));
      /** Saves the port's state, and loads it into the port. */
      const move = async (kernel: Kernel, begin: () => void = () => {}) => {
        const at = new Host({ kernel });
        await using space = new AddressSpace({ host: at, backend });
        await using device = await VfioDevice.attach(at.find(port.path), space);
        begin();
        const migration = (await device.migration())!;
        const saved = migration.save({ precopy: true });
        const state = await new Response(saved as BodyInit).bytes();
        await new Response(state).body!.pipeTo(migration.load());
        assertEquals(device.region(0).read8(UART_SCR), 7);
      };
      const rehearsal = faulty(host.kernel);
      let first = 0;
      const before = holdings();
      await move(rehearsal.kernel, () => first = rehearsal.calls.length);
      const { calls } = rehearsal;
      for (let nth = first + 1; nth <= calls.length; nth++) {
        const { kernel } = faulty(host.kernel, { nth, code: "EIO" });
        const error = await move(kernel).catch((error) => error);
        const call = `${calls[nth - 1]!.method}, call ${nth - first}`;
        if (error !== undefined) assertInstanceOf(error, VfioError, call);
        assertEquals(holdings(), before, call);
        await withPort(port, async (device) => {
          const migration = (await device.migration())!;
          await migration.recover();
          assertEquals(device.region(0).read8(UART_SCR), 7, call);
        }, backend);
      }
      await move(host.kernel);
    },
  });
}
