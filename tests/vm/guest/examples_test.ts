/**
 * The examples and the README's script, each run as it says, with `--allow-ffi`
 * only.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { guestQemu } from "../machine_env.ts";
import { addressOf, host, machine } from "./setup.ts";

const withoutIommu = machine.iommu === "none";

const ROOT = new URL("../../../", import.meta.url);

/** Runs an example and returns its output. */
async function example(file: string, ...args: string[]): Promise<string> {
  return await run(new URL(`examples/${file}`, ROOT).pathname, ...args);
}

/** Runs a script and returns its output. */
async function run(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", "--allow-ffi", ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  assertEquals([success, text.decode(stderr)], [true, ""]);
  return text.decode(stdout);
}

function driverOf(device: string): string | undefined {
  return host.find(addressOf(device)).driver;
}

Deno.test("list.ts shows each group with its functions", async () => {
  const printed = await example("list.ts");
  if (withoutIommu) assertMatch(printed, /^0000:00:00\.0: .*iommu/i);
  for (const fn of withoutIommu ? [] : host.functions()) {
    assertMatch(printed, new RegExp(`^  ${fn.address}  `, "m"));
  }
});

Deno.test({
  name: "attach.ts prints the function's ids and gives it back",
  ignore: withoutIommu,
  async fn() {
    const printed = await example("attach.ts", addressOf("nvme0"));
    assertMatch(printed, /0000:00:07\.0 is 1b36:0010\n/);
    const backend = machine.backends.at(-1);
    assertMatch(printed, new RegExp(`attached by ${backend}: `));
    assertMatch(printed, /driver: nvme\n$/);
    assertEquals(driverOf("nvme0"), "nvme");
  },
});

Deno.test({
  name: "edu.ts copies a page through the device",
  ignore: withoutIommu,
  async fn() {
    const printed = await example("edu.ts", addressOf("edu0"));
    assertMatch(printed, /0x10000ed, 10! = 3628800\n/);
    assertMatch(printed, /^4096 bytes .*: equal\n$/m);
    assertEquals(driverOf("edu0"), undefined);
  },
});

Deno.test({
  name: "shared_space.ts copies with one device what another has written",
  ignore: withoutIommu,
  async fn() {
    const printed = await example(
      "shared_space.ts",
      addressOf("edu0"),
      addressOf("edu1"),
    );
    assertMatch(printed, /are equal\n$/);
  },
});

Deno.test({
  name: "spare_function.ts shows the function on a real host too",
  ignore: withoutIommu,
  async fn() {
    const printed = await example("spare_function.ts", addressOf("edu1"));
    assertEquals(
      printed,
      "0000:00:04.0 is 1234:11e8\nregisters: 010000ed 00000000 00000000\n" +
        "memory: 1048576 bytes at IOVA 0x100000\n",
    );
    assertEquals(driverOf("edu1"), undefined);
  },
});

/** Whether the kernel has its sample drivers of mediated devices. */
const withSamples = machine.kernel === "testbed";

async function loadSample(name: string): Promise<void> {
  const { success } = await new Deno.Command("modprobe", { args: [name] })
    .output();
  assertEquals(success, true);
}

Deno.test({
  name: "serial_echo.ts receives what it sends",
  ignore: !withSamples || withoutIommu,
  async fn() {
    await loadSample("mtty");
    const text = "through a serial port";
    assertEquals(await example("serial_echo.ts", text), `${text}\n`);
  },
});

Deno.test({
  name: "screenshot.ts prints a PNG",
  ignore: !withSamples || withoutIommu,
  async fn() {
    await loadSample("mdpy");
    assertMatch(await example("screenshot.ts"), /^\ufffdPNG\r\n.*IHDR/s);
  },
});

Deno.test({
  name: "nvme_identify.ts prints a controller's model, serial and firmware",
  ignore: withoutIommu,
  async fn() {
    const printed = await example("nvme_identify.ts", addressOf("nvme0"));
    assertMatch(
      printed,
      /^model {5}QEMU NVMe Ctrl\nserial {4}nvme0\nfirmware /,
    );
    assertEquals(driverOf("nvme0"), "nvme");
  },
});

Deno.test({
  name: "nvme_fio.ts prints what fio prints, and how long commands took",
  ignore: withoutIommu,
  async fn() {
    const printed = await example(
      "nvme_fio.ts",
      addressOf("nvme0"),
      ...["--iodepth", "4", "--runtime", "0.2", "--ramp_time", "0.1", "--json"],
    );
    const { jobs: [{ read }] } = JSON.parse(printed);
    assertEquals(read.total_ios > 0 && read.iops > 0, true);
    assertEquals(read.lat_ns.N, read.total_ios);
    assertEquals(Object.keys(read.lat_ns.percentile)[0], "1.000000");
    assertEquals(driverOf("nvme0"), "nvme");
  },
});

Deno.test({
  name:
    "hand_to_qemu.ts shows the function to QEMU's firmware, and restores the host",
  ignore: withoutIommu,
  async fn() {
    const { program, args } = guestQemu()!;
    const script = new URL("examples/hand_to_qemu.ts", ROOT).pathname;
    const printed = await run(
      "--allow-run",
      script,
      addressOf("e1000e0"),
      machine.backends.at(-1)!,
      ...[program, ...args],
    );
    assertMatch(
      printed,
      new RegExp(
        "^before: e1000e\n.*driver vfio-pci.*\n1 step.*\napplied: vfio-pci\n" +
          "again: Nothing to do\\.\nQEMU's firmware: .*id=8086:10d3.*\n" +
          "after: e1000e\n$",
      ),
    );
    assertEquals(driverOf("e1000e0"), "e1000e");
  },
});

Deno.test({
  name: "The README's script runs unchanged when mod.ts comes by URL",
  ignore: withoutIommu,
  async fn() {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async ({ url }) =>
        new Response(
          await Deno.readTextFile(new URL(`.${new URL(url).pathname}`, ROOT)),
          { headers: { "content-type": "application/typescript" } },
        ),
    );
    const address = `127.0.0.1:${server.addr.port}`;
    const readme = await Deno.readTextFile(new URL("README.md", ROOT));
    const [, script] = readme.match(/```ts\n(\/\/ spare\.ts\n.*?)```/s)!;
    assertStringIncludes(script!, "https://HOST/PATH/mod.ts");
    const path = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(
      path,
      script!.replace("https://HOST/PATH", `http://${address}`),
    );
    assertMatch(
      await run("--quiet", `--allow-import=${address}`, path),
      new RegExp(
        "^0000:01:00\\.0: nvme, group \\d+\n" +
          `attached by ${machine.backends.at(-1)}\n` +
          "1 MiB at IOVA 0x[0-9a-f]+\nregister 8: 0x10400\n$",
      ),
    );
    assertEquals(driverOf("sriov0"), "nvme");
  },
});
