import {
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { driverNodes } from "../../../lib/host/driver_nodes.ts";
import { refuseInUse } from "../../../lib/host/guards/refuse.ts";
import { usesOf } from "../../../lib/host/guards/uses.ts";
import { Host, type SimulatedHost } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { Topology } from "../../../lib/sim/topology.ts";
import { O_EXCL, O_RDWR } from "../../../lib/uapi/fcntl.ts";
import { HostFiles } from "../host_files.ts";
import { timeLapse } from "../time_lapse.ts";

const NVME = "0000:00:07.0";
const OTHER = "0000:00:06.0";
const NIC = "0000:00:08.0";
const GPU = "0000:00:09.0";
const SOUND = "0000:00:0a.0";

const at = (address: string) => `/sys/devices/pci0000:00/${address}`;

const FUNCTIONS: Topology["functions"] = {
  [NVME]: { id: "1b36:0010", class: 0x010802, driver: "nvme" },
  [OTHER]: { id: "1b36:0010", class: 0x010802, driver: "nvme" },
  [NIC]: { id: "8086:10d3", class: 0x020000, driver: "e1000e" },
  [GPU]: { id: "10de:1eb8", class: 0x030000 },
  [SOUND]: { id: "8086:2668", class: 0x040300, driver: "snd_hda_intel" },
};

/** A host with a disk of two partitions, one without, and an interface. */
function usual(): HostFiles {
  return new HostFiles()
    .disk(`${at(NVME)}/nvme/nvme0/nvme0n1`, "259:0", 2)
    .disk(`${at(OTHER)}/nvme/nvme1/nvme1n1`, "259:8")
    .network(`${at(NIC)}/net/eth0`)
    .network("/sys/devices/virtual/net/lo");
}

function hostWith({ all }: HostFiles): SimulatedHost {
  return Host.simulated({ functions: FUNCTIONS!, files: all });
}

function uses(host: Host, address: string): [string, string][] {
  return usesOf(host, host.function(address)).map((use) => {
    assertEquals(use.device, address);
    return [use.kind, use.problem];
  });
}

Deno.test("driverNodes() tells what a driver made of a function", () => {
  const files = usual()
    .char(`${at(NVME)}/nvme/nvme0`, "240:0", "nvme0")
    .file("/sys/class/net/bonding_masters", "\n");
  const host = hostWith(files);
  const nodes = (address: string) =>
    driverNodes(host.function(address)).map(({ name, kind }) => [name, kind]);
  assertEquals(nodes(NVME), [
    ["/dev/nvme0", "other"],
    ["/dev/nvme0n1", "disk"],
    ["/dev/nvme0n1p1", "partition"],
    ["/dev/nvme0n1p2", "partition"],
  ]);
  assertEquals(nodes(NIC), [["eth0", "network"]]);
  assertEquals(nodes(GPU), []);
});

Deno.test("usesOf() finds nothing when nothing is used", () => {
  const files = usual().mount("8:1", "/").mount("0:40", "/srv", "/dev/sda2")
    .swaps("/dev/sdb1\tpartition\t1\t0\t-2")
    .routes(["eth0", "0002A8C0", "00FFFFFF"], ["eth1", "00000000", "00000000"]);
  const host = hostWith(files);
  for (const { address } of host.functions()) {
    assertEquals(uses(host, address), []);
  }
});

/** What is on the disk of `NVME`, and what is told of that. */
const DISKS: Record<string, [HostFiles, [string, string][]]> = {
  "the disk is mounted": [
    usual().mount("259:0", "/srv"),
    [["mounted", "/dev/nvme0n1 is mounted at /srv"]],
  ],
  "a partition is mounted": [
    usual().mount("259:2", "/mnt/a\\040b"),
    [["mounted", "/dev/nvme0n1p2 is mounted at /mnt/a b"]],
  ],
  "it is mounted at many places": [
    usual().mount("259:1", "/").mount("259:1", "/").mount("259:1", "/a")
      .mount("259:1", "/b").mount("259:1", "/c").mount("259:1", "/d"),
    [["mounted", "/dev/nvme0n1p1 is mounted at /, /a, /b and 2 more"]],
  ],
  "a partition is swap": [
    usual().swaps("/dev/nvme0n1p2\tpartition\t1048572\t0\t-2"),
    [["swap", "/dev/nvme0n1p2 is swap space"]],
  ],
  "it has a swap file": [
    usual().mount("8:1", "/").mount("259:1", "/srv")
      .swaps("/srv/swap\\040file\tfile\t1048572\t0\t-2"),
    [
      ["mounted", "/dev/nvme0n1p1 is mounted at /srv"],
      ["swap", "/dev/nvme0n1p1 has the swap file /srv/swap file"],
    ],
  ],
  "an encrypted volume is swap": [
    usual().volume("dm-0", "253:0", ["nvme0n1p2"], "cswap")
      .swaps("/dev/dm-0\tpartition\t1048572\t0\t-2"),
    [["swap", "/dev/mapper/cswap on /dev/nvme0n1p2 is swap space"]],
  ],
  "LVM is on MD on its partitions": [
    usual().volume("md0", "9:0", ["nvme0n1p1", "nvme0n1p2", "nvme1n1"])
      .volume("dm-0", "253:0", ["md0"], "vg-root")
      .volume("dm-1", "253:1", ["md0"], "vg-swap")
      .mount("253:0", "/").swaps("/dev/mapper/vg-swap partition 9 0 -2"),
    [
      [
        "mounted",
        "/dev/mapper/vg-root on /dev/md0 on /dev/nvme0n1p1 is mounted at /",
      ],
      [
        "swap",
        "/dev/mapper/vg-swap on /dev/md0 on /dev/nvme0n1p1 is swap space",
      ],
    ],
  ],
  "a volume is on two volumes of its partitions": [
    usual().volume("dm-0", "253:0", ["nvme0n1p1"], "crypt1")
      .volume("dm-1", "253:1", ["nvme0n1p2"], "crypt2")
      .volume("dm-2", "253:2", ["dm-0", "dm-1"], "vg-all")
      .mount("253:2", "/all"),
    [[
      "mounted",
      "/dev/mapper/vg-all on /dev/mapper/crypt1 on /dev/nvme0n1p1 " +
      "is mounted at /all",
    ]],
  ],
  "a partition of MD is mounted": [
    usual().volume("md0", "9:0", ["nvme0n1"])
      .disk("/sys/devices/virtual/block/md0", "9:0", 1).mount("9:1", "/srv"),
    [["mounted", "/dev/md0p1 on /dev/nvme0n1 is mounted at /srv"]],
  ],
  "a volume is active": [
    usual().volume("md0", "9:0", ["nvme0n1p2"])
      .volume("dm-0", "253:0", ["md0"], "vg-data").mount("8:1", "/"),
    [[
      "volume",
      "/dev/mapper/vg-data on /dev/md0 on /dev/nvme0n1p2 is an active volume",
    ]],
  ],
  "a file on it is a loop device": [
    usual().mount("8:1", "/").mount("259:1", "/srv")
      .loop("loop0", "7:0", "/srv/disk.img").mount("7:0", "/mnt")
      .loop("loop1", "7:1", "/home/disk.img"),
    [
      ["mounted", "/dev/nvme0n1p1 is mounted at /srv"],
      ["mounted", "/dev/loop0 on /dev/nvme0n1p1 is mounted at /mnt"],
    ],
  ],
  "a partition is a loop device": [
    usual().loop("loop0", "7:0", "/dev/nvme0n1p2"),
    [["volume", "/dev/loop0 on /dev/nvme0n1p2 is an active volume"]],
  ],
  "btrfs is on it and on another disk, which it is mounted by": [
    usual().file("/sys/fs/btrfs/features/raid1", "0\n")
      .file("/sys/fs/btrfs/1b2c/devices/nvme0n1p1", { link: at(NVME) })
      .file("/sys/fs/btrfs/1b2c/devices/nvme1n1", { link: at(OTHER) })
      .mount("0:40", "/data", "/dev/nvme1n1", "btrfs"),
    [["mounted", "/dev/nvme0n1p1 is mounted at /data"]],
  ],
  "btrfs is on it alone": [
    usual().mount("0:40", "/data", "/dev/nvme0n1", "btrfs"),
    [["mounted", "/dev/nvme0n1 is mounted at /data"]],
  ],
};

for (const [name, [files, expected]] of Object.entries(DISKS)) {
  Deno.test(`usesOf() follows a disk when ${name}`, () => {
    assertEquals(uses(hostWith(files), NVME), expected);
  });
}

Deno.test("usesOf() blames every disk that a volume is on", () => {
  const { all } = DISKS["LVM is on MD on its partitions"]![0];
  const host = Host.simulated({ functions: FUNCTIONS!, files: all });
  assertEquals(uses(host, OTHER), [
    [
      "mounted",
      "/dev/mapper/vg-root on /dev/md0 on /dev/nvme1n1 is mounted at /",
    ],
    ["swap", "/dev/mapper/vg-swap on /dev/md0 on /dev/nvme1n1 is swap space"],
  ]);
});

Deno.test("usesOf() knows a namespace that several controllers reach", () => {
  const head = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
  const files = new HostFiles().hidden(`${at(NVME)}/nvme/nvme0/nvme0c0n1`)
    .hidden(`${at(OTHER)}/nvme/nvme1/nvme0c1n1`).disk(head, "259:0", 1)
    .mount("259:1", "/srv");
  const host = hostWith(files);
  const expected = [["mounted", "/dev/nvme0n1p1 is mounted at /srv"]];
  assertEquals(uses(host, NVME), expected);
  assertEquals(uses(host, OTHER), expected);
});

/** A host on which a disk answers so to whoever claims it. */
function claimed(errno: string, files = usual()): Host {
  const { kernel } = hostWith(files);
  return new Host({
    kernel: intercept(kernel, ({ method, args }, proceed) => {
      const [path, flags] = args as [string, number];
      const asked = method === "open" && path === "/dev/nvme0n1" &&
        (flags & O_EXCL) !== 0;
      if (!asked) return proceed();
      throw new KernelError(errnoNumber(errno), method, path);
    }),
  });
}

Deno.test("usesOf() tells that a disk is claimed when nothing says by whom", () => {
  assertEquals(uses(claimed("EBUSY"), NVME), [
    ["volume", "something holds /dev/nvme0n1: a volume, or a program"],
  ]);
  assertEquals(uses(claimed("ENOMEDIUM"), NVME), []);
  const [[kind, problem]] = uses(claimed("EACCES"), NVME) as [[string, string]];
  assertEquals(kind, "volume");
  assertMatch(problem, /^whether \/dev\/nvme0n1 is in use cannot be told: /);
});

Deno.test("usesOf() tells who sees a disk mounted in another mount namespace", () => {
  const files = usual().file("/proc/1000/ns/mnt", { link: "/mnt:[1]" })
    .file("/proc/1/ns/mnt", { link: "/mnt:[2]" })
    .file("/proc/1/mountinfo", "9 1 259:2 / /srv rw - ext4 none rw\n");
  assertEquals(uses(claimed("EBUSY", files), NVME), [
    [
      "mounted",
      "/dev/nvme0n1 is mounted at /srv, as init (process 1) sees it",
    ],
  ]);
});

const DEFAULT = ["00000000", "00000000"] as const;
const ZEROS = "0".repeat(32);

/** Lines of `/proc/net/ipv6_route`, by interface and flags. */
function ipv6Defaults(...routes: [string, string][]): string {
  return routes.map(([name, flags]) =>
    `${ZEROS} 00 ${ZEROS} 00 ${ZEROS} 00000400 00000001 00000000 ${flags} ` +
    `${name.padStart(8)}\n`
  ).join("");
}

/** An interface in a bond, that one in a VLAN, and that one in a bridge. */
function stacked(): HostFiles {
  const net = "/sys/devices/virtual/net";
  return usual().network(`${at(NIC)}/net/eth0`, "bond0")
    .network(`${net}/bond0`, "bond0.7").network(`${net}/bond0.7`, "br0")
    .network(`${net}/br0`).network(`${net}/br1`);
}

/** Who carries which route, and what is told of `NIC`. */
const ROUTES: Record<string, [HostFiles, [string, string][]]> = {
  "it carries the default route": [
    usual().routes(["eth0", ...DEFAULT], ["eth0", "0002A8C0", "00FFFFFF"]),
    [["default route", "the IPv4 default route is through eth0"]],
  ],
  "it carries those of IPv4 and IPv6": [
    usual().routes(["eth0", ...DEFAULT])
      .file(
        "/proc/1000/net/ipv6_route",
        ipv6Defaults(["lo", "00200200"], ["eth0", "00450003"]),
      ),
    [
      ["default route", "the IPv4 default route is through eth0"],
      ["default route", "the IPv6 default route is through eth0"],
    ],
  ],
  "it is in a bond, that in a VLAN, and that in a bridge": [
    stacked().routes(["br0", ...DEFAULT]),
    [[
      "default route",
      "the IPv4 default route is through br0 on bond0.7 on bond0 on eth0",
    ]],
  ],
  "another bridge carries the default route": [
    stacked().routes(["br1", ...DEFAULT]),
    [],
  ],
  "the default route is one to nowhere, or down": [
    usual().routes(["eth0", ...DEFAULT, "0201"], ["eth0", ...DEFAULT, "0002"])
      .file("/proc/1000/net/ipv6_route", ipv6Defaults(["eth0", "00200200"])),
    [],
  ],
};

for (const [name, [files, expected]] of Object.entries(ROUTES)) {
  Deno.test(`usesOf() follows an interface when ${name}`, () => {
    assertEquals(uses(hostWith(files), NIC), expected);
  });
}

const ENVIRON = (connection: string) =>
  `PATH=/bin\0SSH_CONNECTION=${connection}\0HOME=/root\0`;

const IF_INET6 = "00000000000000000000000000000001 01 80 10 80       lo\n" +
  "20010db8000000000000000000000007 02 40 00 80     eth0\n" +
  "fe800000000000000000000000000001 02 40 20 80     eth0\n" +
  "fe800000000000000000000000000001 03 40 20 80     eth1\n";

function addressed(connection: string): HostFiles {
  return stacked()
    .routes(["br0", "0002A8C0", "00FFFFFF"], ["br1", "00000A0A", "0000FFFF"])
    .file("/proc/1000/net/if_inet6", IF_INET6)
    .file("/proc/1000/environ", ENVIRON(connection));
}

/** Sessions, and what they are through. */
const SESSIONS: Record<string, string | undefined> = {
  "192.168.2.9 50000 192.168.2.7 22": "br0 on bond0.7 on bond0 on eth0",
  "::ffff:192.168.2.9 50000 ::ffff:192.168.2.7 22":
    "br0 on bond0.7 on bond0 on eth0",
  "10.10.0.9 50000 10.10.0.7 22": undefined,
  "127.0.0.1 50000 127.0.0.1 22": undefined,
  "2001:db8::9 50000 2001:db8::7 22": "eth0",
  "fe80::9%eth0 50000 fe80::1%eth0 22": "eth0",
  "fe80::9%2 50000 fe80::1%2 22": "eth0",
  "fe80::9%eth1 50000 fe80::1%eth1 22": undefined,
  "::1 50000 ::1 22": undefined,
};

for (const [connection, through] of Object.entries(SESSIONS)) {
  Deno.test(`usesOf() finds the interface of the SSH session ${connection}`, () => {
    const [client] = connection.split(" ");
    assertEquals(
      uses(hostWith(addressed(connection)), NIC),
      through === undefined ? [] : [[
        "ssh session",
        `the SSH session from ${client} is through ${through}`,
      ]],
    );
  });
}

Deno.test("usesOf() finds the SSH session of an ancestor when sudo has cleared it", () => {
  const files = addressed("2001:db8::9 50000 2001:db8::7 22");
  const environ = files.all["/proc/1000/environ"]!;
  files.file("/proc/1000/environ", "SUDO_USER=me\0")
    .file("/proc/1000/status", "Name:\tdeno\nPid:\t1000\nPPid:\t900\n")
    .file("/proc/900/status", "Name:\tsudo\nPid:\t900\nPPid:\t800\n")
    .file("/proc/800/status", "Name:\tbash\nPid:\t800\nPPid:\t1\n")
    .file("/proc/800/environ", environ);
  assertEquals(uses(hostWith(files), NIC), [
    ["ssh session", "the SSH session from 2001:db8::9 is through eth0"],
  ]);
});

Deno.test("usesOf() knows the display that the machine booted with", () => {
  for (const name of ["boot_vga", "boot_display"]) {
    const host = hostWith(usual().file(`${at(GPU)}/${name}`, "1\n"));
    assertEquals(uses(host, GPU), [
      ["boot display", "it is the display that the machine booted with"],
    ]);
  }
});

Deno.test("usesOf() knows the frame buffer that the console is on", () => {
  const console = "/sys/class/vtconsole/vtcon1";
  const files = usual()
    .file("/sys/class/graphics/fb0", { link: `${at(GPU)}/graphics/fb0` })
    .file(`${console}/name`, "(M) frame buffer device\n")
    .file(`${console}/bind`, "1\n");
  assertEquals(uses(hostWith(files), GPU), [
    ["boot display", "the console is on its frame buffer fb0"],
  ]);
  files.file(`${console}/bind`, "0\n");
  assertEquals(uses(hostWith(files), GPU), []);
});

Deno.test("usesOf() names the processes that have nodes of a function open", () => {
  const files = usual()
    .char(`${at(SOUND)}/sound/card0/pcmC0D0p`, "116:2", "snd/pcmC0D0p")
    .char(`${at(SOUND)}/sound/card0/controlC0`, "116:3", "snd/controlC0");
  const host = hostWith(files);
  const [player, mixer] = ["player", "mixer"].map((name) =>
    host.machine.spawn({ name })
  );
  player!.open("/dev/snd/pcmC0D0p", O_RDWR);
  player!.open("/dev/snd/controlC0", O_RDWR);
  mixer!.open("/dev/snd/controlC0", O_RDWR);
  const [one, two] = [player!, mixer!].map(({ pid }) => `process ${pid}`);
  assertEquals(uses(host, SOUND).sort(), [
    ["open", `/dev/snd/controlC0 is open in player (${one}), mixer (${two})`],
    ["open", `/dev/snd/pcmC0D0p is open in player (${one})`],
  ]);
  player!.exit();
  mixer!.exit();
  assertEquals(uses(host, SOUND), []);
});

Deno.test("usesOf() names who has a disk open, in place of an unknown claim", () => {
  const host = claimed("EBUSY");
  const fd = host.kernel.open("/dev/nvme0n1", O_RDWR);
  assertEquals(uses(host, NVME), [
    ["open", "/dev/nvme0n1 is open in deno (process 1000)"],
  ]);
  host.kernel.close(fd);
});

Deno.test("usesOf() names who has the VFIO nodes of a function open", () => {
  const host = Host.simulated({
    functions: {
      [NVME]: { ...FUNCTIONS![NVME], driver: "vfio-pci", group: 4 },
    },
  });
  const qemu = host.machine.spawn({ name: "qemu" });
  qemu.open("/dev/vfio/4", O_RDWR);
  assertEquals(uses(host, NVME), [
    ["open", `/dev/vfio/4 is open in qemu (process ${qemu.pid})`],
  ]);
});

Deno.test("usesOf() names who has a mediated device of a function open", () => {
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const host = Host.simulated({
    functions: { [GPU]: { ...FUNCTIONS![GPU], driver: "i915" } },
    mediatedTypes: { [GPU]: { "i915-A": { instances: 1 } } },
    mediated: { [uuid]: { parent: GPU, type: "i915-A" } },
  });
  assertEquals(uses(host, GPU), []);
  const group = host.find(`/sys/bus/mdev/devices/${uuid}`).iommuGroup!;
  const qemu = host.machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${group.id}`, O_RDWR);
  assertEquals(uses(host, GPU), [
    ["open", `/dev/vfio/${group.id} is open in qemu (process ${qemu.pid})`],
  ]);
});

/** A host with a function that has two virtual ones. */
function virtual(driver: string, files: HostFiles): SimulatedHost {
  return Host.simulated({
    functions: {
      [NIC]: {
        ...FUNCTIONS![NIC],
        driver: "igb",
        sriov: { total: 2, enabled: 2, id: "8086:10ca", offset: 8, stride: 1 },
      },
      "0000:00:09.0": { driver },
      "0000:00:09.1": { driver: null },
    },
    files: files.all,
  });
}

Deno.test("usesOf() tells that a virtual function is taken, and by whom it is open", () => {
  const host = virtual("vfio-pci", new HostFiles());
  const vf = "its virtual function 0000:00:09.0 is in use";
  assertEquals(uses(host, NIC), [
    ["virtual functions", `${vf}: vfio-pci has it`],
  ]);
  const { id } = host.function("0000:00:09.0").iommuGroup!;
  const qemu = host.machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${id}`, O_RDWR);
  assertEquals(uses(host, NIC), [
    ["virtual functions", `${vf}: vfio-pci has it`],
    [
      "virtual functions",
      `${vf}: /dev/vfio/${id} is open in qemu (process ${qemu.pid})`,
    ],
  ]);
});

Deno.test("usesOf() tells what the host uses a virtual function for", () => {
  const files = new HostFiles().network(`${at("0000:00:09.0")}/net/eth1`);
  assertEquals(uses(virtual("igbvf", files), NIC), []);
  files.routes(["eth1", ...DEFAULT]);
  assertEquals(uses(virtual("igbvf", files), NIC), [
    [
      "virtual functions",
      "its virtual function 0000:00:09.0 is in use: " +
      "the IPv4 default route is through eth1",
    ],
  ]);
});

/** A host that uses a disk and an interface. */
function lived(): SimulatedHost {
  return hostWith(
    usual().mount("259:1", "/").mount("259:2", "/home")
      .routes(["eth0", ...DEFAULT]),
  );
}

async function refusal(work: Promise<unknown>): Promise<VfioError> {
  const error = await assertRejects(() => work, VfioError);
  assertEquals(error.code, "HOST_IN_USE");
  return error;
}

Deno.test("refuseInUse() names every use, and how to insist", async () => {
  const host = lived();
  const error = await refusal(refuseInUse(host, host.functions()));
  assertEquals(error.device, undefined);
  assertEquals(
    error.message,
    `vfio: the host uses what would be taken from it:
  ${NVME}: /dev/nvme0n1p1 is mounted at /; /dev/nvme0n1p2 is mounted at /home
  ${NIC}: the IPv4 default route is through eth0
hint: end that use, or insist by name: --insist ${NVME} --insist ${NIC}, or ` +
      `insist: ["${NVME}","${NIC}"] in a script`,
  );
});

Deno.test("refuseInUse() refuses what was not insisted on", async () => {
  const host = lived();
  const error = await refusal(
    refuseInUse(host, host.functions(), [NVME.slice("0000:".length)]),
  );
  assertEquals([error.device, error.problem], [
    NIC,
    "the host uses it: the IPv4 default route is through eth0",
  ]);
  await refuseInUse(host, host.functions(), [NVME, NIC]);
  await assertRejects(() => refuseInUse(host, [], ["nvme0"]), TypeError);
});

Deno.test("refuseInUse() waits for a node to be closed, but not for long", async () => {
  using _ = timeLapse();
  const host = hostWith(usual());
  const udev = host.machine.spawn({ name: "(udev-worker)" });
  udev.open("/dev/nvme0n1", O_RDWR);
  const error = await refusal(refuseInUse(host, host.functions()));
  assertMatch(error.problem, /nvme0n1 is open in \(udev-worker\)/);
  setTimeout(() => udev.exit(), 300);
  await refuseInUse(host, host.functions());
});

Deno.test("Host.take() leaves to the host what it lives on, unless it insists", async () => {
  const host = lived();
  const writes: string[] = [];
  const watched = new Host({
    kernel: intercept(host.kernel, ({ method, args }, proceed) => {
      if (method.startsWith("write")) writes.push(args[0] as string);
      return proceed();
    }),
  });
  const error = await refusal(watched.take(NIC));
  assertEquals(
    error.message,
    `vfio ${NIC}: the host uses it: the IPv4 default route is through eth0\n` +
      "hint: end that use, or insist on it: " +
      `host.take("${NIC}", { insist: true })`,
  );
  assertEquals(writes, []);
  {
    await using taken = await watched.take(NIC, { insist: true });
    assertEquals(taken.function.driver, "vfio-pci");
  }
  assertEquals(host.function(NIC).driver, "e1000e");
  assertGreater(writes.length, 0);
});

Deno.test("Host.take() takes a disk that is not mounted and an interface that is not needed", async () => {
  const host = hostWith(usual().routes(["eth0", "0002A8C0", "00FFFFFF"]));
  for (const address of [NVME, NIC]) {
    await using taken = await host.take(address);
    assertEquals(taken.function.driver, "vfio-pci");
  }
});
