/**
 * Real kernels: a function that the host uses is refused, and taken once the
 * use has ended.
 */
import { assertEquals, assertMatch } from "@std/assert";
import type { PciFunction } from "../../../mod.ts";
import { driverNodes, usesOf } from "../../../lib/host/mod.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { refused } from "../../failures.ts";
import { addressOf, host, machine } from "./setup.ts";
import { until } from "./until.ts";
import { Script } from "./script.ts";

// Without an IOMMU nothing can be taken.
const ignore = machine.iommu === "none";
const disk = host.function(addressOf("nvme0"));
const nic = host.function(addressOf("e1000e0"));

/** Runs a program, and returns its output. */
async function run(...command: string[]): Promise<string> {
  const [program, ...args] = command;
  const { success, stdout, stderr } = await new Deno.Command(program!, { args })
    .output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  if (!success) throw new Error(`${command.join(" ")}: ${err}`);
  return out!.trim();
}

/**
 * Whether this kernel has a module, which is loaded now, or has it built in.
 */
function loads(module: string, sign: () => boolean): boolean {
  new Deno.Command("modprobe", { args: ["-q", module] }).outputSync();
  return sign();
}

const hasExt4 = loads(
  "ext4",
  () => /\bext4$/m.test(host.kernel.readFile("/proc/filesystems")),
);
const hasVlans = loads("8021q", () => exists(host.kernel, "/proc/net/vlan"));
const hasMapper = loads("dm_mod", () => exists(host.kernel, "/dev/mapper")) &&
  new Deno.Command("dmsetup", { args: ["version"] }).outputSync().success;
const hasSwap = exists(host.kernel, "/proc/swaps");
loads("loop", () => true);

/** Waits for a function's disk or network interface, and returns its name. */
async function nodeOf(
  fn: PciFunction,
  wanted: "disk" | "network",
): Promise<string> {
  const { name } = await until(() => {
    const node = driverNodes(fn).find(({ kind }) => kind === wanted);
    return node !== undefined &&
      (wanted === "network" || exists(host.kernel, node.name)) && node;
  }, `a ${wanted} of ${fn.address}`);
  return name;
}

/** Asserts that a function is refused for a use, and not changed. */
async function assertRefused(fn: PciFunction, use: string): Promise<void> {
  const { driver } = fn;
  const error = await refused("HOST_IN_USE", () => host.take(fn));
  assertEquals(error.device, fn.address);
  assertEquals(error.problem, `the host uses it: ${use}`);
  assertMatch(error.hint!, new RegExp(`take\\("${fn.address}", { insist`));
  assertEquals([fn.driver, fn.driverOverride], [driver, undefined]);
}

/** Asserts that a function can be taken, and gives it back. */
async function assertTaken(fn: PciFunction): Promise<void> {
  await using taken = await host.take(fn);
  assertEquals(taken.device.driver, "vfio-pci");
}

async function ip(...args: string[]): Promise<void> {
  await run("busybox", "ip", ...args);
}

/** Sets an interface up, without other routes than those of the test. */
async function up(name: string): Promise<void> {
  // Its network has a router, which advertises itself.
  const advertised = `/proc/sys/net/ipv6/conf/${name}/accept_ra`;
  if (exists(host.kernel, advertised)) host.kernel.writeFile(advertised, "0");
  await ip("link", "set", name, "up");
}

Deno.test({
  name: "Host.take() refuses a disk until it is unmounted",
  ignore: ignore || !hasExt4,
  async fn() {
    const node = await nodeOf(disk, "disk");
    const point = await Deno.makeTempDir({ suffix: " a disk" });
    await run("mkfs.ext4", "-q", "-F", node);
    await run("mount", node, point);
    try {
      await assertRefused(disk, `${node} is mounted at ${point}`);
    } finally {
      await run("umount", point);
    }
    await assertTaken(disk);
  },
});

Deno.test({
  name: "Host.take() takes a mounted disk when it is insisted on",
  ignore: ignore || !hasExt4,
  async fn() {
    const node = await nodeOf(disk, "disk");
    const point = await Deno.makeTempDir();
    await run("mkfs.ext4", "-q", "-F", node);
    await run("mount", node, point);
    try {
      await using taken = await host.take(disk, { insist: true });
      assertEquals(taken.device.driver, "vfio-pci");
    } finally {
      await run("umount", point);
    }
  },
});

Deno.test({
  name: "usesOf() finds a file system in another mount namespace",
  ignore: ignore || !hasExt4,
  async fn() {
    const node = await nodeOf(disk, "disk");
    const point = await Deno.makeTempDir();
    await run("mkfs.ext4", "-q", "-F", node);
    const other = new Deno.Command("unshare", {
      args: ["-m", "sh", "-c", 'mount "$0" "$1" && echo up && read x', node]
        .concat(point),
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = other.stdout.getReader();
    await reader.read();
    assertEquals(
      await run("grep", "-c", node, "/proc/mounts").catch(() => "0"),
      "0",
    );
    await assertRefused(
      disk,
      `${node} is mounted at ${point}, as sh (process ${other.pid}) sees it`,
    );
    await other.stdin.close();
    await reader.read();
    reader.releaseLock();
    await other.stdout.cancel();
    await other.status;
    await assertTaken(disk);
  },
});

Deno.test({
  name: "Host.take() refuses a disk when a file system is in a file on it",
  ignore: ignore || !hasExt4,
  async fn() {
    const node = await nodeOf(disk, "disk");
    const [outer, inner] = [
      await Deno.makeTempDir(),
      await Deno.makeTempDir(),
    ];
    await run("mkfs.ext4", "-q", "-F", node);
    await run("mount", node, outer);
    try {
      await run("truncate", "-s", "8M", `${outer}/image`);
      await run("mkfs.ext4", "-q", "-F", `${outer}/image`);
      const loop = await run("losetup", "--find", "--show", `${outer}/image`);
      await run("mount", loop, inner);
      await assertRefused(
        disk,
        `${node} is mounted at ${outer}; ` +
          `${loop} on ${node} is mounted at ${inner}`,
      );
      await run("umount", inner);
      await run("losetup", "-d", loop);
    } finally {
      await run("umount", outer);
    }
    await assertTaken(disk);
  },
});

Deno.test({
  name: "Host.take() refuses a disk when a loop device uses it",
  ignore,
  async fn() {
    const node = await nodeOf(disk, "disk");
    const loop = await run("losetup", "--find", "--show", node);
    try {
      await assertRefused(disk, `${loop} on ${node} is an active volume`);
    } finally {
      await run("losetup", "-d", loop);
    }
    await assertTaken(disk);
  },
});

Deno.test({
  name: "Host.take() refuses a disk when it has active swap space",
  ignore: ignore || !hasSwap,
  async fn() {
    const node = await nodeOf(disk, "disk");
    await run("mkswap", node);
    await run("swapon", node);
    try {
      await assertRefused(disk, `${node} is swap space`);
    } finally {
      await run("swapoff", node);
    }
    await assertTaken(disk);
  },
});

Deno.test({
  name: "Host.take() refuses a disk when a device mapper volume uses it",
  ignore: ignore || !hasMapper,
  async fn() {
    const node = await nodeOf(disk, "disk");
    const sectors = await run("blockdev", "--getsz", node);
    const table = `0 ${Number(sectors) / 2} linear ${node} 0`;
    await run("dmsetup", "create", "vg-data", "--table", table);
    try {
      const volume = `/dev/mapper/vg-data on ${node}`;
      await assertRefused(disk, `${volume} is an active volume`);
      if (hasSwap) {
        // Without udev there is no link /dev/mapper/vg-data.
        const path = "/dev/" + await run(
          ..."dmsetup info --columns --noheadings -o blkdevname".split(" "),
          "vg-data",
        );
        await run("mkswap", path);
        await run("swapon", path);
        await assertRefused(disk, `${volume} is swap space`);
        await run("swapoff", path);
      }
    } finally {
      await run("dmsetup", "remove", "vg-data");
    }
    await assertTaken(disk);
  },
});

Deno.test({
  name: "Host.take() refuses an interface when it carries the default route",
  ignore,
  async fn() {
    const name = await nodeOf(nic, "network");
    await ip("addr", "add", "192.0.2.2/24", "dev", name);
    await up(name);
    await ip("route", "add", "default", "via", "192.0.2.1", "dev", name);
    await assertRefused(nic, `the IPv4 default route is through ${name}`);
    await ip("route", "del", "default");
    await assertRefused(nic, `the network 192.0.2.0/24 is through ${name}`);
    await ip("addr", "flush", "dev", name);
    // It is still up.
    await assertTaken(nic);
  },
});

Deno.test({
  name:
    "Host.take() refuses an interface when it carries the IPv6 default route",
  ignore: ignore || !exists(host.kernel, "/proc/net/if_inet6"),
  async fn() {
    const name = await nodeOf(nic, "network");
    await up(name);
    await run("busybox", "ip", "-6", "route", "add", "default", "dev", name);
    await assertRefused(nic, `the IPv6 default route is through ${name}`);
    await run("busybox", "ip", "-6", "route", "del", "default");
    await assertTaken(nic);
  },
});

Deno.test({
  name:
    "Host.take() refuses an interface when a VLAN on it carries the default route",
  ignore: ignore || !hasVlans,
  async fn() {
    const name = await nodeOf(nic, "network");
    const vlan = "vlan7";
    await up(name);
    await ip(
      "link",
      "add",
      "link",
      name,
      "name",
      vlan,
      "type",
      "vlan",
      "id",
      "7",
    );
    await ip("addr", "add", "192.0.2.2/24", "dev", vlan);
    await ip("link", "set", vlan, "up");
    await ip("route", "add", "default", "via", "192.0.2.1", "dev", vlan);
    await assertRefused(
      nic,
      `the IPv4 default route is through ${vlan} on ${name}`,
    );
    await ip("link", "del", vlan);
    await assertTaken(nic);
  },
});

Deno.test({
  name: "usesOf() finds the interface when the SSH session goes through it",
  async fn() {
    const name = await nodeOf(nic, "network");
    await ip("addr", "add", "192.0.2.2/24", "dev", name);
    await up(name);
    await using script = await Script.start(
      { env: { SSH_CONNECTION: "192.0.2.9 50000 192.0.2.2 22" } },
      async ({ Host, send }, address) => {
        const { usesOf } = await import("@passthru/vfio/host");
        const host = new Host();
        send(usesOf(host, host.function(address)));
      },
      nic.address,
    );
    assertEquals(await script.next(), [{
      kind: "ssh session",
      device: nic.address,
      problem: `the SSH session from 192.0.2.9 is through ${name}`,
    }]);
    await ip("addr", "flush", "dev", name);
    assertEquals(usesOf(host, nic), []);
    await ip("link", "set", name, "down");
  },
});
