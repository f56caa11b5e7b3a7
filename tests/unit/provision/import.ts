import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  type ImportSource,
  importState,
} from "../../../lib/provision/import/import.ts";
import { parseState } from "../../../lib/provision/state/parse.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { refused } from "../../failures.ts";
import { call, json } from "../passthru_bench.ts";

const BRIDGE = "0000:00:01.0";
const A = "0000:01:00.0";
const SOUND = "0000:01:00.1";
const B = "0000:02:00.0";
const NIC = "0000:03:00.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";

const CARD = {
  id: "10de:2204",
  subsystem: "1043:87d9",
  class: 0x030000,
  driver: "nouveau",
};

const MACHINE: Topology = {
  functions: {
    [BRIDGE]: { id: "8086:4c01", class: 0x060400, driver: "pcieport" },
    [A]: { ...CARD, group: 3 },
    [SOUND]: { id: "10de:1aef", driver: "snd_hda_intel", group: 3 },
    [B]: { ...CARD, subsystem: "1462:3884", group: 4 },
    [NIC]: { id: "8086:10d3", class: 0x020000, driver: "e1000e", group: 5 },
  },
  mediatedTypes: { [PARENT]: { "mtty-1": { instances: 2 } } },
  mediated: { [UUID]: { parent: PARENT, type: "mtty-1" } },
};

async function imported(
  source: ImportSource,
  files: Readonly<Record<string, string>>,
) {
  const host = simulate({ ...MACHINE, files });
  const { state, notes } = await importState(host, source);
  parseState(JSON.parse(JSON.stringify(state)));
  const drivers = Object.fromEntries(
    (state.functions ?? []).map(({ select, driver }) => [select, driver]),
  );
  return { host, state, drivers, notes, text: notes.join("\n") };
}

Deno.test("importState() reads driverctl's overrides", async () => {
  const { host, state, text } = await imported("driverctl", {
    [`/etc/driverctl.d/pci-${NIC}`]: "vfio-pci\n",
    [`/etc/driverctl.d/pci-${B}`]: "none\n",
    "/etc/driverctl.d/pci-0000:09:00.0": "vfio-pci\n",
    "/etc/driverctl.d/vmbus-x": "uio_hv_generic\n",
    "/etc/driverctl.d/pci-0000:01:00.0": "../../x\n",
  });
  assertEquals(state, {
    functions: [
      {
        select: B,
        pin: {
          id: "10de:2204",
          subsystem: "1462:3884",
          revision: 0,
          group: ["10de:2204"],
        },
        driver: null,
      },
      {
        select: NIC,
        pin: {
          id: "8086:10d3",
          subsystem: "8086:0000",
          revision: 0,
          group: ["8086:10d3"],
        },
        driver: "vfio-pci",
      },
    ],
  });
  for (
    const sentence of [
      "pci-0000:09:00.0: this host has no 0000:09:00.0",
      "vmbus-x: it is about no PCI function",
      `"../../x" is no driver's name`,
      "driverctl unset-override",
    ]
  ) assertStringIncludes(text, sentence);
  assertEquals(plan(host, state).steps.length, 2);
});

Deno.test("importState() reads the ids of modprobe's files as modprobe does", async () => {
  const { drivers, text, state } = await imported("modprobe", {
    "/etc/modprobe.d/vfio.conf": "# options vfio-pci ids=8086:10d3\n" +
      "options vfio-pci \\\n  ids=10de:2204,10de:1aef,1234:5678,x " +
      "disable_idle_d3=1 disable_vga=1\n" +
      "softdep nouveau pre: vfio-pci\nblacklist nouveau\n" +
      "install vfio-pci /sbin/vfio-override.sh\n",
    "/lib/modprobe.d/vfio.conf": "options vfio-pci ids=8086:10d3\n",
    "/etc/modprobe.d/README": "options vfio-pci ids=8086:10d3\n",
  });
  assertEquals(drivers, {
    [A]: "vfio-pci",
    [B]: "vfio-pci",
    [SOUND]: "vfio-pci",
  });
  const idle = state.functions!.map(({ idleD3 }) => idleD3 === false);
  assertEquals(idle, [true, true, true]);
  for (
    const sentence of [
      "no function with id 1234:5678",
      `"x" is no id of a function`,
      `the option "disable_vga=1" of vfio_pci has no key`,
      "nouveau waits for a VFIO driver",
      "nouveau is not loaded for any device",
      `which is not read: "/sbin/vfio-override.sh"`,
      "ids take every equal card",
    ]
  ) assertStringIncludes(text, sentence);
});

Deno.test("importState() reads ids with subsystems and classes, and those of the command line", async () => {
  const line = "quiet vfio-pci.ids=10de:2204:1462:3884 " +
    'pci_stub.ids="ffffffff:ffffffff:ffffffff:ffffffff:020000:ffff00"\n';
  const first = await imported("modprobe", { "/proc/cmdline": line });
  assertEquals(first.drivers, { [B]: "vfio-pci", [NIC]: "pci-stub" });
  const { drivers, text } = await imported("modprobe", {
    "/proc/cmdline": "vfio_pci.ids=8086:ffffffff\n",
  });
  assertEquals(drivers, { [NIC]: "vfio-pci" });
  assertStringIncludes(text, `${BRIDGE} is a bridge`);
});

const DOMAIN = `<domain type='kvm'><name>desk</name>
<memoryBacking><hugepages/></memoryBacking>
<devices>
<!-- <hostdev type='pci'><source><address bus='9'/></source></hostdev> -->
<hostdev mode='subsystem' type='pci' managed='yes'>
  <driver name='vfio' model="mlx5_vfio_pci"/>
  <source><address domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></source>
  <rom file='/var/lib/x.rom'/>
  <address type='pci' domain='0x0000' bus='0x07' slot='0x00' function='0x0'/>
</hostdev>
<hostdev mode='subsystem' type='pci'>
  <source><address domain='0' bus='2' slot='0' function='0'/></source>
</hostdev>
<hostdev mode='subsystem' type='mdev' model='vfio-pci'>
  <source><address uuid='${UUID.toUpperCase()}'/></source>
</hostdev>
<hostdev mode='subsystem' type='usb'><source/></hostdev>
<hostdev mode='subsystem' type='pci'><source/></hostdev>
<interface type='network'><source network='default'/></interface>
<interface type='hostdev' managed='yes'><mac address='52:54:00:12:34:56'/>
  <source><address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x1'/></source>
</interface>
</devices></domain>
`;

Deno.test("importState() reads the host devices of libvirt's domains", async () => {
  const { drivers, state, text } = await imported("libvirt", {
    "/etc/libvirt/qemu/desk.xml": DOMAIN,
    "/etc/libvirt/qemu/notes.txt": DOMAIN,
  });
  assertEquals(drivers, {
    [NIC]: "mlx5_vfio_pci",
    [B]: "vfio-pci",
    [SOUND]: "vfio-pci",
  });
  assertEquals(state.mediated, [
    { uuid: UUID, parent: PARENT, type: "mtty-1" },
  ]);
  for (
    const sentence of [
      `libvirt binds ${NIC} itself as the domain starts`,
      `the ROM "/var/lib/x.rom" of ${NIC} stays`,
      `a host device of type "usb"`,
      "a host device has no PCI address",
      `the MAC address or VLAN of ${SOUND}`,
      "its memory is in huge pages",
      "the state cannot be applied as it is",
    ]
  ) assertStringIncludes(text, sentence);
  assertEquals(text.includes(`libvirt binds ${B}`), false);
});

Deno.test("importState() reads the devices of Proxmox's machines and mappings", async () => {
  const { drivers, text } = await imported("proxmox", {
    "/proc/sys/kernel/hostname": "pve1\n",
    "/etc/pve/qemu-server/101.conf": "boot: order=scsi0\n" +
      "hostpci0: 01:00,pcie=1,x-vga=1\nhostpci1: mapping=nics\n" +
      "hostpci2: host=0000:00:02.0,mdev=i915-GVTg_V5_4\n" +
      "hostpci3: mapping=none\nhostpci4: host=zz\n" +
      "[before]\nhostpci0: 0000:02:00.0\n",
    "/etc/pve/mapping/pci.cfg": "nics\n" +
      "\tmap node=pve1,path=0000:03:00.0,id=8086:10d3,iommugroup=5\n" +
      "\tmap node=pve2,path=0000:02:00.0,id=8086:10d3\n" +
      "\tmap node=pve1,path=0000:09:00.0,id=8086:10d3\n",
  });
  assertEquals(drivers, {
    [A]: "vfio-pci",
    [SOUND]: "vfio-pci",
    [NIC]: "vfio-pci",
  });
  for (
    const sentence of [
      "101.conf, hostpci0: pcie, x-vga stay with the machine",
      "101.conf, hostpci0: Proxmox binds it as the machine starts",
      `Proxmox chooses one of the 2 devices of "nics"`,
      "this host has no 0000:09:00.0",
      `of type "i915-GVTg_V5_4"`,
      `"none" has no device on this node`,
      `"zz" is no PCI address`,
    ]
  ) assertStringIncludes(text, sentence);
});

Deno.test("importState() tells that the rest of a group is in the way", async () => {
  const { text } = await imported("driverctl", {
    [`/etc/driverctl.d/pci-${A}`]: "vfio-pci\n",
  });
  assertStringIncludes(text, "the state cannot be applied as it is: " + A);
  assertStringIncludes(text, SOUND);
});

Deno.test("importState() refuses a tool that has nothing here, and one that it does not know", async () => {
  const host = simulate(MACHINE);
  for (
    const source of ["driverctl", "libvirt", "modprobe", "proxmox"] as const
  ) {
    const { problem } = await refused(
      "NOT_SUPPORTED",
      () => importState(host, source),
    );
    assertStringIncludes(problem, "has nothing to import here");
  }
  await assertRejects(
    () => importState(host, "virsh" as ImportSource),
    TypeError,
    "expected one of driverctl, libvirt, modprobe, proxmox",
  );
});

Deno.test("passthru import writes a state that passthru apply takes", async () => {
  const files = { [`/etc/driverctl.d/pci-${NIC}`]: "vfio-pci\n" };
  const host = simulate({ ...MACHINE, files });
  const { code, out, err } = await call(host, ["import", "driverctl"]);
  assertEquals(code, 0);
  assertStringIncludes(err, "note: driverctl binds them at every boot too");
  const applied = await call(host, ["apply", "state.json"], {
    files: { "state.json": out },
  });
  assertEquals(applied.code, 0, applied.err);
  assertEquals(host.function(NIC).driver, "vfio-pci");
  const shown = await json(host, ["import", "driverctl"]);
  assertEquals([shown.state, shown.notes.length], [JSON.parse(out), 1]);
  const nothing = await call(host, ["import", "libvirt"]);
  assertEquals([nothing.code, nothing.out], [1, ""]);
});
