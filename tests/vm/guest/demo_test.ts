/**
 * What `deno task demo` does with the function that it is given.
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { PciFunction } from "../../../mod.ts";
import { diskUse, usesOf } from "../../../scripts/demo/in_use.ts";
import { nodesOf } from "../../../scripts/demo/nodes.ts";
import { Report } from "../../../scripts/demo/report.ts";
import { demonstrate } from "../../../scripts/demo/story.ts";
import { O_EXCL } from "../../../lib/uapi/fcntl.ts";
import { addressOf, host, machine } from "./setup.ts";

const ignore = machine.iommu === "none";

/** What the demo tells of a function, and the function. */
async function story(name: string, scratch: boolean): Promise<string> {
  const lines: string[] = [];
  const report = new Report((line) => lines.push(line));
  const fn = host.function(addressOf(name));
  await demonstrate(host, fn, report, { scratch });
  return lines.join("\n");
}

/**
 * A function's disk, once its driver is done with it: the driver looks for
 * namespaces after it is bound, and claims a disk while it reads its partition
 * table.
 */
async function scannedDisk(fn: PciFunction): Promise<string> {
  for (let tries = 100; tries > 0; tries--) {
    const disk = (await nodesOf(fn.path)).find(({ kind }) => kind === "disk");
    if (disk !== undefined && (await usesOf(fn)).length === 0) return disk.name;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${fn.address}: no free disk came within 10 s`);
}

/** How often the story is told: once by each backend of the machine. */
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
  name: "demonstrate() only identifies an NVMe controller that may hold data",
  ignore,
  async fn() {
    const text = await story("mixed0", false);
    assertTimes(text, /^identified .* serial mixed0,/mg);
    assertEquals(text.match(/written/), null);
  },
});

Deno.test({
  name: "demonstrate() has an edu device copy a page",
  ignore,
  async fn() {
    const text = await story("edu0", false);
    assertTimes(text, /^compared +all 4096 bytes are equal$/mg);
    assertTimes(text, /^given back +\d+ ms +driver none$/mg);
  },
});

Deno.test({
  name: "demonstrate() leaves a function of another kind alone and says so",
  ignore,
  async fn() {
    const text = await story("e1000e0", false);
    assertTimes(text, /^config +\d+ bytes, which begin with 8086:10d3$/mg);
    assertTimes(text, /^BAR 0 +131072 bytes of memory: 0x/mg);
    assertTimes(text, /does not know how to drive this device$/mg);
  },
});

Deno.test("usesOf() names a disk that something else holds", async () => {
  const nvme = host.function(addressOf("nvme0"));
  const disk = await scannedDisk(nvme);
  assertEquals(await usesOf(nvme), []);
  // What mount, swapon, LVM and MD do.
  const claim = host.kernel.open(disk, O_EXCL);
  try {
    const [use] = await usesOf(nvme);
    assertMatch(use!, new RegExp(`^${disk} is in use`));
  } finally {
    host.kernel.close(claim);
  }
  assertEquals(await usesOf(nvme), []);
});

Deno.test("usesOf() names a network interface that is up", async () => {
  const nic = host.function(addressOf("e1000e0"));
  assertEquals(await usesOf(nic), []);
  const [name] = await Array.fromAsync(Deno.readDir(`${nic.path}/net`));
  const ip = (state: string) =>
    new Deno.Command("busybox", {
      args: ["ip", "link", "set", name!.name, state],
    }).output();
  await ip("up");
  assertEquals(
    await usesOf(nic),
    [`the network interface ${name!.name} is up`],
  );
  await ip("down");
});

Deno.test("usesOf() names the display that the machine booted with", async () => {
  const path = await Deno.makeTempDir();
  await Deno.writeTextFile(`${path}/boot_vga`, "0\n");
  assertEquals(await usesOf({ host, path }), []);
  await Deno.writeTextFile(`${path}/boot_vga`, "1\n");
  assertEquals(await usesOf({ host, path }), ["it is the display"]);
});

Deno.test("diskUse() says where a partition of the disk is mounted", async () => {
  const mounts = await Deno.makeTempFile();
  const use = async (line: string, disk = "/dev/nvme1n1") => {
    await Deno.writeTextFile(mounts, `proc /proc proc rw 0 0\n${line}\n`);
    return await diskUse(host.kernel, disk, mounts);
  };
  assertEquals(
    await use("/dev/nvme1n1p2 /srv ext4 rw 0 0"),
    "/dev/nvme1n1p2 is mounted at /srv",
  );
  assertEquals(
    await use("/dev/nvme1n1 /srv ext4 rw 0 0"),
    "/dev/nvme1n1 is mounted at /srv",
  );
  assertEquals(
    await use("/dev/sda2 / ext4 rw 0 0", "/dev/sda"),
    "/dev/sda2 is mounted at /",
  );
  assertEquals(await use("/dev/nvme1n10 /srv ext4 rw 0 0"), undefined);
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
