import { simulate } from "../../../../lib/sim/mod.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { Host } from "../../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../../lib/kernel/errno.ts";
import { intercept } from "../../../../lib/kernel/intercept.ts";
import { O_EXCL, O_RDWR } from "../../../../lib/uapi/linux/fcntl.ts";
import { HostFiles } from "../../host_files.ts";
import {
  at,
  FUNCTIONS,
  hostWith,
  NVME,
  OTHER,
  uses,
  usual,
} from "./used_host.ts";

/** The content of the disk of `NVME`, and the uses that are found. */
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
  "btrfs is on it and on another disk, by which it is mounted": [
    usual().file("/sys/fs/btrfs/features/raid1", "0\n")
      .file("/sys/fs/btrfs/1b2c/devices/nvme0n1p1", { link: at(NVME) })
      .file("/sys/fs/btrfs/1b2c/devices/nvme1n1", { link: at(OTHER) })
      .mount("0:40", "/data", "/dev/nvme1n1", "btrfs"),
    [["mounted", "/dev/nvme0n1p1 is mounted at /data"]],
  ],
  "btrfs is only on it": [
    usual().mount("0:40", "/data", "/dev/nvme0n1", "btrfs"),
    [["mounted", "/dev/nvme0n1 is mounted at /data"]],
  ],
};

for (const [name, [files, expected]] of Object.entries(DISKS)) {
  Deno.test(`usesOf() follows a disk when ${name}`, () => {
    assertEquals(uses(hostWith(files), NVME), expected);
  });
}

Deno.test("usesOf() finds every disk of a volume", () => {
  const { all } = DISKS["LVM is on MD on its partitions"]![0];
  const host = simulate({ functions: FUNCTIONS!, files: all });
  assertEquals(uses(host, OTHER), [
    [
      "mounted",
      "/dev/mapper/vg-root on /dev/md0 on /dev/nvme1n1 is mounted at /",
    ],
    ["swap", "/dev/mapper/vg-swap on /dev/md0 on /dev/nvme1n1 is swap space"],
  ]);
});

Deno.test("usesOf() finds a namespace when several controllers share it", () => {
  const head = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
  const files = new HostFiles().hidden(`${at(NVME)}/nvme/nvme0/nvme0c0n1`)
    .hidden(`${at(OTHER)}/nvme/nvme1/nvme0c1n1`).disk(head, "259:0", 1)
    .mount("259:1", "/srv");
  const host = hostWith(files);
  const expected = [["mounted", "/dev/nvme0n1p1 is mounted at /srv"]];
  assertEquals(uses(host, NVME), expected);
  assertEquals(uses(host, OTHER), expected);
});

/** A host on which claiming a disk fails with an errno. */
function claimed(errno: string, files = usual()): Host {
  const { kernel } = hostWith(files);
  return new Host({
    kernel: intercept(kernel, ({ method, args }, proceed) => {
      const [path, flags] = args as [string, number];
      const claims = method === "open" && path === "/dev/nvme0n1" &&
        (flags & O_EXCL) !== 0;
      if (!claims) return proceed();
      throw new KernelError(errnoNumber(errno), method, path);
    }),
  });
}

Deno.test("usesOf() finds a claimed disk when no owner is known", () => {
  assertEquals(uses(claimed("EBUSY"), NVME), [
    ["volume", "something holds /dev/nvme0n1: a volume, or a program"],
  ]);
  assertEquals(uses(claimed("ENOMEDIUM"), NVME), []);
  const [[kind, problem]] = uses(claimed("EACCES"), NVME) as [[string, string]];
  assertEquals(kind, "volume");
  assertMatch(problem, /^whether \/dev\/nvme0n1 is in use is unknown: /);
});

Deno.test("usesOf() names the process when a disk is mounted in its mount namespace", () => {
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

Deno.test("usesOf() names the process that has a disk open instead of an unknown claim", () => {
  const host = claimed("EBUSY");
  const fd = host.kernel.open("/dev/nvme0n1", O_RDWR);
  assertEquals(uses(host, NVME), [
    ["open", "/dev/nvme0n1 is open in deno (process 1000)"],
  ]);
  host.kernel.close(fd);
});
