import { assertEquals, assertThrows } from "@std/assert";
import { diagnose } from "../../../lib/doctor/diagnose.ts";
import { simulate } from "../../../lib/sim/host.ts";
import { topologyFromText } from "../../../lib/sim/posted/topology.ts";
import { call } from "../passthru_bench.ts";

const NNK = `\
00:00.0 Host bridge [0600]: Advanced Micro Devices, Inc. [AMD] Root Complex [1022:1480]
00:03.1 PCI bridge [0604]: Advanced Micro Devices, Inc. [AMD] GPP Bridge [1022:1483]
	Kernel driver in use: pcieport
0a:00.0 VGA compatible controller [0300]: A maker Card [A name] [1002:73bf] (rev c1)
	Subsystem: Someone [1da2:e439]
	Kernel driver in use: amdgpu
	Kernel modules: amdgpu
0a:00.1 Audio device [0403]: A maker HDMI Audio [1002:ab28]
	Kernel driver in use: snd_hda_intel
0b:00.0 Non-Essential Instrumentation [1300]: A maker Dummy [1022:148a]
`;

const TREE = `\
-[0000:00]-+-00.0
           +-03.1-[0a]--+-00.0
           |            \\-00.1
           \\-07.1-[0b-0c]----00.0
`;

const GROUPS = `\
/sys/kernel/iommu_groups/20/devices/0000:00:03.1
/sys/kernel/iommu_groups/21/devices/0000:0a:00.0
/sys/kernel/iommu_groups/21/devices/0000:0a:00.1
/sys/kernel/iommu_groups/22/devices/0000:0b:00.0
`;

Deno.test("topologyFromText() reads ids, classes, revisions and drivers", () => {
  const { functions, iommu, unknown } = topologyFromText(NNK);
  assertEquals(functions!["0000:0a:00.0"], {
    id: "1002:73bf",
    class: 0x030000,
    revision: 0xc1,
    subsystem: "1da2:e439",
    driver: "amdgpu",
  });
  assertEquals(functions!["0000:0b:00.0"]!.driver, undefined);
  assertEquals(iommu, "none");
  assertEquals(unknown!.includes("groups"), true);
  assertEquals(unknown!.includes("drivers"), false);
});

Deno.test("topologyFromText() reads the tree, and groups as find and as listings write them", () => {
  const listing = GROUPS.replaceAll(
    /.*groups\/(\d+)\/devices\/0000:(\S+)/g,
    "IOMMU Group $1 $2 Some device [0000]: x [1022:1480]",
  );
  const titled =
    "Group 21:\n\t0a:00.0 x\n\t0a:00.1 y\nGroup 20:\n\t00:03.1 z\n" +
    "Group 22:\n\t0b:00.0 w\n";
  for (const groups of [GROUPS, listing, titled]) {
    // The listing names functions again, with other ids.
    const { functions, iommu } = topologyFromText(
      groups === listing ? groups + NNK + TREE : NNK + TREE + groups,
    );
    assertEquals(iommu, "amd");
    assertEquals(
      ["0000:0a:00.0", "0000:0a:00.1", "0000:0b:00.0"]
        .map((address) => functions![address]!.group),
      [21, 21, 22],
    );
    assertEquals(functions!["0000:0a:00.1"]!.behind, "0000:00:03.1");
    assertEquals(functions!["0000:0b:00.0"]!.behind, "0000:00:07.1");
  }
});

Deno.test("topologyFromText() reads BARs, capabilities, groups and buses of lspci -vvv", () => {
  const { functions, unknown } = topologyFromText(`\
00:01.0 PCI bridge [0604]: x [8086:1901] (rev 05) (prog-if 00 [Normal decode])
	Bus: primary=00, secondary=01, subordinate=01, sec-latency=0
	IOMMU group: 1
	Capabilities: [88] Subsystem: x [8086:0000]
	Capabilities: [a0] Express (v2) Root Port (Slot+), MSI 00
	Kernel driver in use: pcieport

01:00.0 Ethernet controller [0200]: x [8086:1563] (rev 01)
	Interrupt: pin A routed to IRQ 16
	NUMA node: 1
	IOMMU group: 1
	Region 0: Memory at 91000000 (64-bit, prefetchable) [size=4M]
	Region 2: I/O ports at e000 [disabled] [size=32]
	Region 4: Memory at <unassigned> (32-bit, non-prefetchable) [size=16K]
	Expansion ROM at 91c80000 [disabled] [size=512K]
	Capabilities: [50] MSI: Enable- Count=1/4 Maskable+ 64bit+
	Capabilities: [70] MSI-X: Enable+ Count=64 Masked-
	Capabilities: [a0] Express (v2) Endpoint, MSI 00
		DevCap:	MaxPayload 512 bytes, PhantFunc 0
			ExtTag- AttnBtn- AttnInd- PwrInd- RBE+ FLReset+ SlotPowerLimit 0W
		DevCtl:	CorrErr+ NonFatalErr+ FatalErr+ UnsupReq+ FLReset-
	Capabilities: [160 v1] Single Root I/O Virtualization (SR-IOV)
		Initial VFs: 64, Total VFs: 64, Number of VFs: 2, Function Dependency Link: 00
		VF offset: 128, stride: 2, Device ID: 1565
		Region 0: Memory at 0000000091880000 (64-bit, prefetchable)
	Kernel driver in use: ixgbe
01:10.0 Ethernet controller [0200]: x [8086:1565]
	IOMMU group: 30
	Kernel driver in use: vfio-pci
`);
  const nic = functions!["0000:01:00.0"]!;
  assertEquals(nic.bars, [
    "4M 64bit prefetchable at 0x91000000",
    null,
    "32 io at 0xe000",
    null,
    "16K at 0x0",
  ]);
  assertEquals(nic.reset, ["flr"]);
  assertEquals(nic.interrupts, { intx: true, msi: 4, msix: 64 });
  assertEquals(nic.sriov, {
    total: 64,
    enabled: 2,
    offset: 128,
    stride: 2,
    id: "8086:1565",
  });
  assertEquals([nic.behind, nic.numaNode, nic.acs], ["0000:00:01.0", 1, false]);
  assertEquals(functions!["0000:00:01.0"]!.acs, false);
  assertEquals(functions!["0000:01:10.0"], { driver: "vfio-pci", group: 30 });
  assertEquals(unknown!.includes("modules"), false);
});

Deno.test("topologyFromText() reads the kernel's release and command line", () => {
  const { kernel } = topologyFromText(
    `$ uname -r\n6.8.12-4-pve\n$ cat /proc/cmdline\n` +
      `initrd=\\EFI\\x root=ZFS=rpool/ROOT intel_iommu=on,igfx_off\n${NNK}`,
  );
  assertEquals(kernel!.release, "6.8.12-4-pve");
  assertEquals(
    kernel!.commandLine,
    "initrd=\\EFI\\x root=ZFS=rpool/ROOT intel_iommu=on,igfx_off",
  );
});

Deno.test("topologyFromText() leaves out BARs that contradict each other", () => {
  const one = (address: string) =>
    `${address} x [0200]: y [8086:10d3]\n\tRegion 0: Memory at 91000000 ` +
    "(32-bit, non-prefetchable) [size=4M]\n";
  const { functions, unknown } = topologyFromText(
    one("01:00.0") + one("02:00.0"),
  );
  assertEquals(functions!["0000:01:00.0"]!.bars, undefined);
  assertEquals(unknown!.includes("bars"), true);
});

Deno.test("topologyFromText() throws when no function has its ids", () => {
  assertThrows(
    () => topologyFromText("01:00.0 Ethernet controller: Intel 82574L\n"),
    TypeError,
    "lspci -nnk",
  );
});

Deno.test("simulate() shows the config space that a topology has as bytes", async () => {
  const row = "00: 86 80 d3 10 00 00 10 00 00 00 00 02 00 00 00 00\n";
  const bytes = row +
    Array.from(
      { length: 15 },
      (_, i) => `${(i + 1).toString(16)}0:${" 00".repeat(16)}\n`,
    ).join("");
  const text = `01:00.0 x [0200]: y [8086:10d3]\n${bytes}`;
  const { out } = await call(simulate(topologyFromText(text)), [
    "dump",
    "01:00.0",
    "--hex",
  ]);
  assertEquals(out.split("\n").slice(1).join("\n"), `${bytes}\n`);
});

Deno.test("passthru makes no verdict of what a posted text does not tell", async () => {
  const files = { "post.txt": NNK };
  const argv = ["--simulate", "post.txt"];
  const { out, code } = await call({}, [...argv, "doctor", "0a:00.0"], {
    files,
  });
  assertEquals(code, 0);
  assertEquals(
    out.split("\n").filter((line) => /^(pass|warn|fail)/.test(line))
      .map((line) => line.split(/\s+/)[1]),
    ["known-device"],
  );
  assertEquals(
    out.trimEnd().split("\n").at(-1),
    "Nothing that is told stops passthrough of 0000:0a:00.0; 14 things are " +
      "unknown",
  );
  for (const command of [["bind", "0a:00.0", "--dry-run"], ["groups"]]) {
    const { code, err } = await call({}, [...argv, ...command], { files });
    assertEquals([code, err], [
      2,
      "passthru: the text does not tell the IOMMU groups: nothing can be said " +
      "without that\nhint: ask for: find /sys/kernel/iommu_groups -type l\n",
    ]);
  }
});

Deno.test("passthru doctor judges what a posted text tells", async () => {
  const files = { "post.txt": NNK + TREE + GROUPS };
  const { out, code } = await call(
    {},
    ["--simulate", "post.txt", "doctor", "0a:00.0"],
    { files },
  );
  assertEquals(code, 4);
  assertEquals(
    /^fail +group-viable .*\n.*$/m.exec(out)![0].replaceAll(/\s+/g, " "),
    "fail group-viable 0000:0a:00.0: its IOMMU group 21 also holds " +
      "0000:0a:00.1 (snd_hda_intel) → take all of the group: passthru bind " +
      "0000:0a:00.0 --whole-group",
  );
});

Deno.test("passthru --keep refuses to overwrite a posted text", async () => {
  const { code, err } = await call(
    {},
    ["--simulate", "post.txt", "--keep", "list"],
    { files: { "post.txt": NNK } },
  );
  assertEquals([code, err.split("\n")[0]], [
    2,
    "passthru: --keep needs a snapshot, and post.txt is a text",
  ]);
});

Deno.test("diagnose() drops the checks that need what is not told", () => {
  const host = simulate({
    functions: { "0000:01:00.0": { id: "8086:10d3", class: 0x020000 } },
  });
  const untold = [{
    checks: ["privilege", "nodes"] as const,
    what: "who runs it",
    command: "id",
  }];
  const { findings } = diagnose(host, { untold });
  assertEquals(
    findings.filter(({ check }) => check === "privilege" || check === "nodes"),
    [{
      check: "privilege",
      verdict: "unknown",
      text: "nothing tells who runs it",
      remedy: "ask for: id",
    }],
  );
});

Deno.test("topologyFromText() reads groups and remapping of the kernel's log", () => {
  const { functions, files, unknown } = topologyFromText(
    "`01:00.0 VGA compatible controller [0300]: x [10de:21c4] (rev a1)\n" +
      "[    0.8] pci 0000:01:00.0: Adding to iommu group 1\n" +
      "[    0.2] DMAR-IR: Enabled IRQ remapping in x2apic mode\n",
  );
  assertEquals(functions!["0000:01:00.0"]!.group, 1);
  assertEquals(String(files!["/proc/interrupts"]).includes("IR-"), true);
  assertEquals(unknown!.includes("interrupts"), false);
});

Deno.test("topologyFromText() knows the chip set that keeps interrupt remapping off", () => {
  const { files } = topologyFromText(
    "00:00.0 Host bridge [0600]: x [8086:3405] (rev 13)\n",
  );
  assertEquals(String(files!["/proc/interrupts"]).includes("IR-"), false);
});

Deno.test("topologyFromText() takes AMD's IOMMU when the host bridge is not listed", () => {
  const { iommu } = topologyFromText(
    "IOMMU Group 14:\n" +
      "\t02:00.2 PCI bridge [0604]: AMD x [1022:43c6] (rev 01)\n",
  );
  assertEquals(iommu, "amd");
});

Deno.test("topologyFromText() reads the table of Proxmox VE", () => {
  const { functions, unknown } = topologyFromText(
    "│ class    │ device │ id           │ iommugroup │ vendor │ device_name │\n" +
      "╞══════════╪════════╪══════════════╪════════════╪════════╪═════════════╡\n" +
      "│ 0x010601 │ 0xa352 │ 0000:00:17.0 │          7 │ 0x8086 │ AHCI        │\n" +
      "│ 0x030000 │ 0x1b80 │ 0000:01:00.0 │         -1 │ 0x10de │ GP104       │\n",
  );
  assertEquals(functions!["0000:00:17.0"], {
    id: "8086:a352",
    class: 0x010601,
    group: 7,
  });
  assertEquals(functions!["0000:01:00.0"]!.group, null);
  assertEquals(unknown!.includes("drivers"), true);
});
