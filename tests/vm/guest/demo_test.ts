/**
 * What `deno task demo` does with its function.
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { PciFunction } from "../../../mod.ts";
import { driverNodes } from "../../../lib/host/mod.ts";
import { objections } from "../../../scripts/demo/in_use.ts";
import { Report } from "../../../scripts/demo/report.ts";
import { demonstrate } from "../../../scripts/demo/story.ts";
import { O_EXCL } from "../../../lib/uapi/linux/fcntl.ts";
import { addressOf, host, machine } from "./setup.ts";
import { until } from "./until.ts";

const ignore = machine.iommu === "none";

/** Runs the demo on a function, and returns its output. */
async function story(name: string, scratch: boolean): Promise<string> {
  const lines: string[] = [];
  const report = new Report((line) => lines.push(line));
  const fn = host.function(addressOf(name));
  await demonstrate(host, fn, report, { scratch });
  return lines.join("\n");
}

/**
 * Waits until a function's driver has finished with its disk: the driver looks
 * for namespaces after it is bound, and claims a disk while it reads the
 * partition table.
 */
async function scannedDisk(fn: PciFunction): Promise<string> {
  const { name } = await until(() => {
    const disk = driverNodes(fn).find(({ kind }) => kind === "disk");
    return objections(fn).length === 0 && disk;
  }, `a free disk of ${fn.address}`);
  return name;
}

/** Asserts that a pattern occurs once for each backend of the machine. */
function assertTimes(text: string, pattern: RegExp): void {
  assertEquals(text.match(pattern)?.length, machine.backends.length, text);
}

Deno.test({
  name: "demonstrate() writes to a scratch disk and reads back by each backend",
  ignore,
  async fn() {
    const text = await story("nvme0", true);
    assertTimes(text, /^compared +all 4096 bytes are equal$/mg);
    assertTimes(text, /^given back +\d+ ms +driver nvme: .*\/dev\/nvme/mg);
    assertTimes(text, /^checked +\/dev\/nvme\dn1, read by its driver: /mg);
    for (const backend of machine.backends) {
      assertMatch(text, new RegExp(`^attached .* by ${backend}: `, "m"));
    }
    const other =
      /^not here .*iommufd was asked for.*\ngiven back +driver nvme$/m;
    assertEquals(other.test(text), !machine.backends.includes("iommufd"), text);
  },
});

Deno.test({
  name:
    "demonstrate() only identifies an NVMe controller when its disk may have data",
  ignore,
  async fn() {
    const text = await story("mixed0", false);
    assertTimes(text, /^identified .* serial mixed0,/mg);
    assertEquals(text.match(/written/), null);
  },
});

Deno.test({
  name: "demonstrate() copies a page when the device is an edu",
  ignore,
  async fn() {
    const text = await story("edu0", false);
    assertTimes(text, /^compared +all 4096 bytes are equal$/mg);
    assertTimes(text, /^given back +\d+ ms +driver none$/mg);
  },
});

Deno.test({
  name:
    "demonstrate() writes nothing to a function of another kind and says so",
  ignore,
  async fn() {
    const text = await story("e1000e0", false);
    assertTimes(text, /^config +\d+ bytes, which begin with 8086:10d3$/mg);
    assertTimes(text, /^BAR 0 +131072 bytes of memory: 0x/mg);
    assertTimes(text, /does not know how to drive this device$/mg);
  },
});

Deno.test("objections() names a disk that a program holds", async () => {
  const nvme = host.function(addressOf("nvme0"));
  const disk = await scannedDisk(nvme);
  assertEquals(objections(nvme), []);
  // Claims the disk like mount, swapon, LVM and MD.
  const claim = host.kernel.open(disk, O_EXCL);
  try {
    assertEquals(objections(nvme), [
      `${disk} is open in deno (process ${Deno.pid})`,
    ]);
  } finally {
    host.kernel.close(claim);
  }
  assertEquals(objections(nvme), []);
});

Deno.test("objections() names a network interface that is up", async () => {
  const nic = host.function(addressOf("e1000e0"));
  assertEquals(objections(nic), []);
  const { name } = driverNodes(nic).find(({ kind }) => kind === "network")!;
  const ip = (state: string) =>
    new Deno.Command("busybox", {
      args: ["ip", "link", "set", name, state],
    }).output();
  // Its network has a router, whose advertisement would add a default route.
  const advertised = `/proc/sys/net/ipv6/conf/${name}/accept_ra`;
  await Deno.writeTextFile(advertised, "0").catch(() => {}); // no IPv6 here
  await ip("up");
  assertEquals(objections(nic), [`the network interface ${name} is up`]);
  await ip("down");
  assertEquals(objections(nic), []);
});

Deno.test({
  name: "demo.ts gives the device back when it is interrupted",
  ignore,
  async fn() {
    const demo = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", "deno.offline.json"]
        .concat("scripts/demo.ts", "--device", addressOf("nvme0")),
      stdout: "piped",
      stderr: "piped",
      env: { NO_COLOR: "1" },
    }).spawn();
    let out = "";
    for await (const text of demo.stdout.pipeThrough(new TextDecoderStream())) {
      if (/^taken /m.test(out += text)) demo.kill("SIGINT");
    }
    const err = await new Response(demo.stderr).text();
    assertEquals([(await demo.status).code, err.trim()], [
      1,
      "Interrupted: everything is put back",
    ]);
    assertEquals(out.match(/^by legacy/m), null, out);
    assertEquals(host.function(addressOf("nvme0")).driver, "nvme");
  },
});
