import { assertEquals, assertThrows } from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../../../lib/uapi/linux/statx.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { status } from "../../../lib/provision/status.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { simulate, type SimulatedHost } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/mod.ts";
import { VfioError } from "../../../lib/errors.ts";
import {
  B550,
  DELL,
  DL388P,
  handOut,
  THINKPAD,
  X11SCL,
} from "../odd_machines.ts";
import cloud from "../../recordings/cloud.json" with { type: "json" };
import sriov from "../../recordings/testbed_sriov.json" with { type: "json" };

/** All files of a host but those of its processes, each in a line. */
function treeOf({ machine }: SimulatedHost): Record<string, string> {
  const kernel = machine.spawn({ name: "looks" });
  const tree: Record<string, string> = {};
  const read = (path: string) => {
    const { mode, uid, gid, device } = kernel.lstat(path || "/");
    const head = `${mode.toString(8)} ${uid}:${gid} ${device} `;
    if ((mode & S_IFMT) === S_IFLNK) tree[path] = head + kernel.readlink(path);
    else if ((mode & S_IFMT) !== S_IFDIR) tree[path] = head + contents(path);
    else {
      tree[path] = head;
      for (const name of kernel.readdir(path || "/")) {
        if (/^\/proc\/(?:\d+|self)$/.test(`${path}/${name}`)) continue;
        read(`${path}/${name}`);
      }
    }
  };
  const contents = (path: string) => {
    try {
      return path.startsWith("/dev/") ? "" : kernel.readFileBytes(path).toHex();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return error.code;
    }
  };
  read("");
  kernel.exit();
  return Object.fromEntries(
    Object.entries(tree).sort(([a], [b]) => a < b ? -1 : 1),
  );
}

/** The same host, made again from what is kept of it. */
function again({ machine }: SimulatedHost): SimulatedHost {
  return simulate(JSON.parse(JSON.stringify(machine.topology())));
}

const GPU = "0000:01:00.0";
const NIC = "0000:03:00.0";
const PARENT = "/sys/devices/virtual/mtty/mtty";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

const HOST: Topology = {
  functions: {
    "0000:00:01.0": { id: "8086:1901", class: 0x060400 },
    [GPU]: {
      id: "10de:2204",
      class: 0x030000,
      driver: "nouveau",
      behind: "0000:00:01.0",
      reset: ["flr", "pm", "bus"],
      rom: "64K",
      numaNode: 1,
    },
    "0000:01:00.1": {
      id: "10de:1aef",
      driver: "snd_hda_intel",
      behind: "0000:00:01.0",
    },
    // Behind a bridge that is only named.
    "0000:02:00.0": { id: "1b36:0010", driver: "nvme", behind: "0000:00:02.0" },
    [NIC]: {
      id: "8086:10c9",
      class: 0x020000,
      driver: "igb",
      network: "eth0",
      serial: "a0-36-9f-ff-ff-12-34-56",
      sriov: { total: 7, enabled: 1, id: "8086:10ca", driver: "igbvf" },
    },
    "0000:04:00.0": { id: "1af4:1041", group: null },
  },
  drivers: { "vfio-pci": {}, "xhci_hcd": {}, "pci-stub": false },
  mediatedTypes: { [PARENT]: { "mtty-1": { instances: 3 } } },
  hugePages: { "2M": 3, "16M": 2 },
  files: {
    "/usr/share/misc/pci.ids": "10de  NVIDIA\n",
    "/etc/passwd": "anna:x:1000:1000::/:/bin/sh\n",
    "/proc/1000/mountinfo": "",
    "/sys/class/block/sda": { link: "/sys/devices/virtual/block/sda" },
  },
  kernel: { release: "6.12.0", unsafeNoIommu: true },
};

const STATE: DesiredState = {
  functions: [
    {
      select: GPU,
      driver: "vfio-pci",
      group: "all endpoints",
      reset: ["bus", "flr"],
      idleD3: "hot",
      rom: "/var/lib/roms/card.rom",
      node: { owner: 107, mode: "0640" },
    },
    {
      select: NIC,
      virtualFunctions: {
        count: 3,
        driver: "vfio-pci",
        overrides: {
          "1": { mac: "52:54:00:12:34:56", vlan: 12, node: { owner: 5 } },
          "2": { driver: null },
        },
      },
    },
    { select: "0000:04:00.0", driver: "vfio-pci" },
  ],
  mediated: [
    { uuid: UUID, parent: PARENT, type: "mtty-1", node: { group: 36 } },
  ],
  hugePages: [{ size: "2M", count: 7, numaNode: 0 }],
  memoryLimit: { anna: "2G" },
};

Deno.test("SimulatedMachine.topology() makes the same machine again, before and after changes", async () => {
  const host = simulate(HOST);
  assertEquals(treeOf(again(host)), treeOf(host));
  await apply(host, STATE, { name: "all" });
  const changed = again(host);
  assertEquals(treeOf(changed), treeOf(host));
  assertEquals(treeOf(again(changed)), treeOf(host));
});

for (
  const [name, recording] of Object.entries(
    { B550, cloud, DELL, DL388P, sriov, THINKPAD, X11SCL } as Record<
      string,
      Topology
    >,
  )
) {
  Deno.test(`SimulatedMachine.topology() makes ${name} again, as it is and with all in user space`, async () => {
    const host = simulate(recording);
    assertEquals(treeOf(again(host)), treeOf(host));
    let applied = 0;
    for (const { address } of host.functions()) {
      try {
        await apply(host, handOut(address, "all endpoints"));
        applied++;
      } catch (error) {
        if (!(error instanceof VfioError)) throw error;
      }
    }
    assertEquals(applied > 0, recording.iommu !== "none");
    const later = again(host);
    assertEquals(treeOf(later), treeOf(host));
    assertEquals((await restore(later)).left, []);
  });
}

Deno.test("restore() undoes on a machine made again what was applied before", async () => {
  const host = simulate(HOST);
  const before = treeOf(host);
  await apply(host, STATE, { name: "all" });
  const later = again(host);
  assertEquals(await status(later), await status(host));
  const { left } = await restore(again(later));
  assertEquals(left, []);
  const last = again(later);
  await restore(last);
  const after = treeOf(again(last));
  // These stay, empty, and so does the log.
  for (const path of Object.keys(after)) {
    if (/^\/(?:run|var\/lib|var\/log)\/passthru/.test(path)) delete after[path];
  }
  assertEquals(after, before);
});

Deno.test("SimulatedMachine.topology() keeps a domain whose driver is not bound", async () => {
  const host = simulate(DELL);
  const maker = Object.values(DELL.functions!)
    .map(({ behind }) => behind!)
    .find((behind) => DELL.functions![behind]?.driver === "vmd")!;
  const taken = await apply(host, {
    functions: [{ select: maker, driver: "vfio-pci" }],
  }, { insist: [maker] });
  const later = again(host);
  assertEquals(treeOf(later), treeOf(host));
  assertEquals((await restore(later)).left, []);
  await taken[Symbol.asyncDispose]();
  const addresses = (each: SimulatedHost) =>
    each.functions().map(({ address, driver }) => [address, driver]);
  assertEquals(addresses(later), addresses(host));
});

Deno.test("SimulatedMachine.topology() keeps devices on other buses, and who has them", async () => {
  const host = simulate({
    devices: {
      "platform/a.0": { driver: "its_own", regions: ["4K"] },
      "platform/b.0": { group: 7 },
    },
    functions: { [NIC]: { id: "8086:10c9", driver: "vfio-pci" } },
  });
  assertEquals(treeOf(again(host)), treeOf(host));
  const path = "/sys/bus/platform/devices/a.0";
  await host.take(path);
  host.kernel.writeFile(`${path}/power/control`, "on");
  const later = again(host);
  assertEquals(treeOf(later), treeOf(host));
  assertEquals((await restore(later)).left, []);
  assertEquals(later.find(path).driver, "its_own");
});

Deno.test("SimulatedMachine.topology() keeps files that are no text, links and directories", () => {
  const host = simulate({});
  const { kernel } = host;
  kernel.mkdir("/run/empty", 0o700);
  kernel.symlink("../run/empty", "/etc/relative");
  const fd = kernel.open("/tmp/bytes", 0o101, 0o600);
  kernel.write(fd, Uint8Array.of(0xff, 0, 0xfe));
  kernel.close(fd);
  host.machine.setOwnership("/tmp/bytes", { uid: 7, mode: 0o4755 });
  assertEquals(treeOf(again(host)), treeOf(host));
});

Deno.test("SimulatedMachine.topology() goes on with the ids of processes", () => {
  const host = simulate();
  const { pid } = host.machine.spawn();
  assertEquals(again(host).machine.spawn().pid, pid + 2);
});

for (
  const [what, kept, message] of [
    [
      "an unknown key",
      { disks: {} },
      'kept.disks: there is no such key; did you mean "disk"?',
    ],
    [
      "a path outside the disk",
      { disk: { "/sys/x": { text: "" } } },
      "kept.disk: expected an absolute path",
    ],
    [
      "a file in a folder that is not there",
      { disk: { "/srv/x": { text: "" } } },
      'kept.disk["/srv/x"]: ',
    ],
    [
      "an attribute that is not there",
      { attributes: { "/sys/x": "1" } },
      'kept.attributes["/sys/x"]: ',
    ],
    [
      "a node that is not there",
      { nodes: { "/dev/vfio/9": { uid: 0, gid: 0, mode: 0 } } },
      'kept.nodes["/dev/vfio/9"]: ',
    ],
    [
      "a virtual function that is not there",
      { virtualNetworks: { [NIC]: { mac: "0".repeat(12), vlan: 0, qos: 0 } } },
      `kept.virtualNetworks["${NIC}"]: there is no such virtual function`,
    ],
    [
      "an entry that is none",
      { disk: { "/etc/x": { txt: "" } } },
      'kept.disk["/etc/x"]: expected a file, a link or a directory',
    ],
  ] as const
) {
  Deno.test(`simulate() says where a kept machine has ${what}`, () => {
    assertThrows(
      () => simulate({ kept } as unknown as Topology),
      TypeError,
      message,
    );
  });
}
