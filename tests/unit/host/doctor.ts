import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import {
  diagnose,
  type DiagnoseOptions,
} from "../../../lib/host/doctor/diagnose.ts";
import type { CheckName, Finding } from "../../../lib/host/doctor/finding.ts";
import { diagnosisText } from "../../../lib/host/doctor/text.ts";
import { Host, SimulatedHost } from "../../../lib/host/host.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import type { ProcessOptions } from "../../../lib/sim/kernel.ts";
import type { FunctionTopology, Topology } from "../../../lib/sim/topology.ts";

const A = "0000:01:00.0";
const B = "0000:01:00.1";
const PORT = "0000:00:1c.0";
const ONBOARD: FunctionTopology = { id: "8086:15b7", class: 0x020000 };
const NIC: FunctionTopology = {
  id: "8086:10d3",
  class: 0x020000,
  behind: PORT,
};
const RELEASE = "6.12.3";
const MODULES = `/lib/modules/${RELEASE}`;
const GROUP = "/sys/kernel/iommu_groups";

/** A host on which nothing is wrong, but for what is said. */
interface Defects extends Topology {
  /** What is said of the function that is asked for. */
  readonly fn?: FunctionTopology;
  /** The process that asks. */
  readonly process?: ProcessOptions;
  /** Whether all of the host is asked for. */
  readonly whole?: boolean;
  /** Other options. */
  readonly options?: DiagnoseOptions;
}

function hostWith({ fn, process, ...topology }: Defects = {}): Host {
  const { machine } = Host.simulated({
    kernel: { release: RELEASE },
    ...topology,
    functions: {
      [A]: { ...NIC, driver: "e1000e", group: 7, ...fn },
      ...topology.functions,
    },
  });
  return new SimulatedHost(machine, process);
}

function diagnosisOf(defects: Defects = {}) {
  const { whole = false, options = {} } = defects;
  const host = hostWith(defects);
  const functions = whole ? [] : [host.function(A)];
  return diagnose(host, { functions, ...options });
}

/** What a check found. */
function found(check: CheckName, defects: Defects): Finding[] {
  return diagnosisOf(defects).findings.filter((each) => each.check === check);
}

Deno.test("diagnose() passes everything when the host is fit", () => {
  for (const whole of [false, true]) {
    const { fit, findings, functions } = diagnosisOf({ whole });
    assertEquals(findings.filter(({ verdict }) => verdict !== "pass"), []);
    assertEquals(fit, true);
    assertEquals(functions, whole ? [] : [A]);
    for (const must of ["iommu", "vfio-driver", "group-viable", "nodes"]) {
      assertEquals(findings.some(({ check }) => check === must), true, must);
    }
  }
});

Deno.test("diagnose() gives plain data, the same as JSON", () => {
  const diagnosis = diagnosisOf({ fn: { group: null } });
  assertEquals(JSON.parse(JSON.stringify(diagnosis)), diagnosis);
});

Deno.test("diagnose() changes nothing, and opens nothing for longer", () => {
  const { machine } = Host.simulated({ functions: { [A]: NIC } });
  const host = new SimulatedHost(machine, { name: "doctor" });
  diagnose(host);
  const { pid } = /^Pid:\s*(?<pid>\d+)/m
    .exec(host.kernel.readFile("/proc/self/status"))!.groups as { pid: string };
  assertEquals(host.kernel.readdir(`/proc/${pid}/fd`), []);
});

/** A defect, what its check says, and whether it stops passthrough. */
const DEFECTS: ReadonlyArray<
  readonly [string, CheckName, "fail" | "warn", string, Defects]
> = [
  [
    "there is no IOMMU in the firmware",
    "iommu",
    "fail",
    "VT-d is switched off in the firmware",
    { iommu: "none" },
  ],
  [
    "AMD's IOMMU is switched off on the command line",
    "iommu",
    "fail",
    "booted with amd_iommu=off",
    {
      iommu: "none",
      kernel: { release: RELEASE, commandLine: "amd_iommu=off" },
    },
  ],
  [
    "VFIO takes devices without an IOMMU",
    "no-iommu-mode",
    "warn",
    "reach all memory",
    { kernel: { release: RELEASE, unsafeNoIommu: true } },
  ],
  [
    "the IOMMU leaves the function out",
    "group",
    "fail",
    "does not cover it",
    { fn: { group: null }, functions: { "0000:00:03.0": ONBOARD } },
  ],
  [
    "the firmware keeps memory mapped",
    "direct-mapping",
    "fail",
    "0xe0000000 to 0xe00fffff",
    {
      files: {
        [`${GROUP}/7/reserved_regions`]:
          "0x00000000fee00000 0x00000000feefffff msi\n" +
          "0x00000000e0000000 0x00000000e00fffff direct\n",
      },
    },
  ],
  [
    "a driver has another function of the group",
    "group-viable",
    "fail",
    `holds ${B} (snd_hda_intel), as slot 0000:01:00 has no ACS`,
    { functions: { [B]: { ...NIC, group: 7, driver: "snd_hda_intel" } } },
  ],
  [
    "a bridge without ACS makes the group",
    "acs",
    "warn",
    `${PORT} has no ACS`,
    {
      fn: { group: 9 },
      functions: {
        [PORT]: { id: "8086:a110", class: 0x060400, acs: false, group: 9 },
        "0000:01:01.0": { ...NIC, group: 9 },
      },
    },
  ],
  [
    "missing ACS is overlooked",
    "acs-override",
    "warn",
    "pcie_acs_override=downstream,multifunction",
    {
      kernel: {
        release: RELEASE,
        commandLine: "quiet pcie_acs_override=downstream,multifunction",
      },
    },
  ],
  [
    "interrupt remapping is switched off",
    "interrupt-remapping",
    "fail",
    "switched off by intremap=off: VFIO takes no device",
    { kernel: { release: RELEASE, commandLine: "intremap=off" } },
  ],
  [
    "the IOMMU cannot remap interrupts",
    "interrupt-remapping",
    "fail",
    "cannot remap interrupts (dmar0)",
    {
      files: {
        "/proc/interrupts": "  0:  1  IO-APIC  2-edge  timer\n",
        "/sys/class/iommu/dmar0/intel-iommu/ecap": "f00f42\n",
      },
    },
  ],
  [
    "interrupts are not remapped, and that is overlooked",
    "interrupt-remapping",
    "warn",
    "vfio_iommu_type1 takes devices all the same",
    {
      iommu: "amd",
      files: {
        "/proc/interrupts": "  0:  1  IO-APIC  2-edge  timer\n",
        "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts":
          "Y\n",
      },
    },
  ],
  [
    "the module is there and not loaded",
    "vfio-driver",
    "fail",
    "vfio-pci is not loaded",
    {
      drivers: { "vfio-pci": false },
      files: {
        [`${MODULES}/modules.dep`]:
          "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko\n",
      },
    },
  ],
  [
    "the kernel has no such module",
    "vfio-driver",
    "fail",
    "this kernel has no vfio-pci",
    {
      drivers: { "vfio-pci": false },
      files: { [`${MODULES}/modules.dep`]: "kernel/fs/ext4/ext4.ko:\n" },
    },
  ],
  [
    "the kernel is locked down",
    "lockdown",
    "warn",
    "locked down (integrity)",
    {
      files: {
        "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
      },
    },
  ],
  [
    "a user without privileges asks",
    "privilege",
    "warn",
    "may not take functions",
    { process: { uid: 1000 } },
  ],
  [
    "this user may not open the nodes",
    "nodes",
    "fail",
    "may not open /dev/vfio/7",
    { fn: { driver: "vfio-pci" }, process: { uid: 1000 } },
  ],
  [
    "memory that may be locked is limited",
    "memory-limit",
    "warn",
    "may lock 8 MiB",
    { process: { uid: 1000 } },
  ],
  [
    "memory that may be locked does not suffice",
    "memory-limit",
    "fail",
    "4 GiB are too much",
    { process: { uid: 1000 }, options: { memory: 4n << 30n } },
  ],
  [
    "the function sleeps without power",
    "idle-sleep",
    "warn",
    "D3cold",
    {
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/power_state`]: "D3cold\n",
      },
    },
  ],
  [
    "a large BAR found no room",
    "bars",
    "fail",
    "BAR 0 of 8 GiB found no room below 4 GiB",
    { fn: { bars: ["8G 64bit prefetchable at 0x0"] } },
  ],
  [
    "a small BAR found no room",
    "bars",
    "fail",
    "BAR 1 of 16 KiB found no room",
    { fn: { bars: ["4K", "16K at 0x0"] } },
  ],
  [
    "a large BAR lies below 4 GiB",
    "bars",
    "warn",
    "BAR 2 of 512 MiB lies below 4 GiB, where BARs take 512 MiB",
    { fn: { bars: [null, null, "512M 64bit prefetchable at 0xa0000000"] } },
  ],
  [
    "BARs of virtual functions found no room",
    "virtual-bars",
    "warn",
    "none can be made",
    { fn: { sriov: { total: 7, id: "8086:10ca", bars: ["16K at 0x0"] } } },
  ],
  [
    "the kernel cannot reset the function",
    "reset",
    "warn",
    "cannot reset it",
    { fn: { reset: [] } },
  ],
  [
    "graphics need vendor-reset",
    "known-device",
    "warn",
    "second start of a guest fails",
    { fn: { id: "1002:67df", class: 0x030000, driver: "amdgpu" } },
  ],
  [
    "nvidia has the function",
    "known-device",
    "warn",
    "nvidia does not let go",
    { fn: { id: "10de:2204", class: 0x030000, driver: "nvidia" } },
  ],
  [
    "a sound driver has the function",
    "known-device",
    "warn",
    "sound card open",
    { fn: { id: "8086:a170", class: 0x040300, driver: "snd_hda_intel" } },
  ],
  [
    "something is plugged into a USB controller",
    "known-device",
    "warn",
    "USB controller",
    {
      fn: { id: "8086:a12f", class: 0x0c0330, driver: "xhci_hcd" },
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/usb1/1-2/product`]: "Keyboard\n",
      },
    },
  ],
  [
    "the function is the console",
    "known-device",
    "warn",
    "display that the machine booted with",
    {
      fn: { id: "8086:3e92", class: 0x030000, driver: "i915" },
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/boot_vga`]: "1\n",
      },
    },
  ],
];

for (const [name, check, verdict, text, defects] of DEFECTS) {
  Deno.test(`diagnose() finds ${check} when ${name}`, () => {
    // The one that is meant; a machine can have two nodes, or two devices.
    const finding = found(check, defects)
      .find((finding) => finding.text.includes(text));
    assertEquals(
      finding?.verdict,
      verdict,
      JSON.stringify(
        diagnosisOf(defects).findings.filter((each) => each.check === check),
      ),
    );
    assertEquals(typeof finding?.remedy, "string");
    assertEquals(diagnosisOf(defects).fit, verdict === "warn");
  });
}

Deno.test("diagnose() is fit when what is wrong is with a function that nobody asked for", () => {
  const defects: Defects = {
    whole: true,
    functions: {
      "0000:00:03.0": { ...ONBOARD, group: null, bars: ["8G 64bit at 0x0"] },
    },
  };
  const { fit, findings } = diagnosisOf(defects);
  assertEquals(fit, true);
  assertEquals(
    findings.filter(({ verdict }) => verdict === "warn")
      .map(({ check, device }) => [check, device]),
    [["group", "0000:00:03.0"], ["bars", "0000:00:03.0"]],
  );
});

Deno.test("diagnose() finds a group viable when all of it was asked for", () => {
  const host = hostWith({
    functions: { [B]: { ...NIC, group: 7, driver: "snd_hda_intel" } },
  });
  const functions = [A, B].map((address) => host.function(address));
  const { fit, findings } = diagnose(host, { functions });
  assertEquals(fit, true);
  assertEquals(
    findings.filter(({ check }) => check === "group-viable"),
    [{
      check: "group-viable",
      verdict: "pass",
      text: "once the functions are taken nothing keeps their IOMMU groups",
    }],
  );
});

Deno.test("diagnose() tells how to free a bridge that keeps a group", () => {
  const [finding] = found("group-viable", {
    functions: {
      "0000:00:1f.0": {
        id: "8086:a145",
        class: 0x060400,
        conventional: true,
        driver: "shpchp",
        group: 7,
      },
    },
  });
  assertStringIncludes(finding!.remedy!, "/sys/bus/pci/drivers/shpchp/unbind");
});

Deno.test("diagnose() says that options go on the command line when vfio-pci is built in", () => {
  const [finding] = found("vfio-driver", {
    files: {
      [`${MODULES}/modules.builtin`]: "kernel/drivers/vfio/pci/vfio-pci.ko\n",
    },
  });
  assertEquals(finding!.verdict, "pass");
  assertStringIncludes(finding!.text, "built into the kernel");
});

/** A kernel of which some methods do something else. */
function withMethods(kernel: Kernel, methods: Partial<Kernel>): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      const value = Reflect.get(methods, name) ?? Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

Deno.test("diagnose() finds answers when all registers of a function read as ones", () => {
  const host = hostWith();
  const kernel = withMethods(host.kernel, {
    pread: (_fd, into) => into.fill(0xff).length,
  });
  const gone = new Host({ kernel });
  const { fit, findings } = diagnose(gone, { functions: [gone.function(A)] });
  assertEquals(fit, false);
  assertEquals(
    findings.filter(({ verdict }) => verdict === "fail")
      .map(({ check, device }) => [check, device]),
    [["answers", A]],
  );
});

Deno.test("diagnose() asks for a module of the container when there is neither backend", () => {
  const host = hostWith({ kernel: { release: "6.1.0", iommufd: false } });
  const kernel = withMethods(host.kernel, {
    stat: (path) =>
      path.startsWith("/sys/module/vfio_iommu_type1")
        ? host.kernel.stat("/no")
        : host.kernel.stat(path),
  });
  const { findings } = diagnose(new Host({ kernel }));
  const finding = findings.find(({ check }) => check === "vfio-backend")!;
  assertEquals(finding.verdict, "fail");
  assertEquals(finding.remedy, "modprobe vfio_iommu_type1");
});

Deno.test("diagnose() lets a user use what is his when the nodes are given to him", () => {
  const { machine } = Host.simulated({
    functions: { [A]: { ...NIC, driver: "vfio-pci", group: 7 } },
  });
  const user = new SimulatedHost(machine, { uid: 1000 });
  const look = () =>
    diagnose(user, { functions: [user.function(A)] }).findings
      .filter(({ check, verdict }) => check === "nodes" && verdict === "fail")
      .map(({ text }) => text);
  assertEquals(look(), [
    "this user may not open /dev/vfio/7",
    "this user may not open /dev/vfio/devices/vfio0",
  ]);
  for (const path of ["/dev/vfio/7", "/dev/vfio/devices/vfio0"]) {
    machine.setOwnership(path, { uid: 1000 });
  }
  assertEquals(look(), []);
});

Deno.test("diagnosisText() begins each line with a verdict, and tells what to do", () => {
  const text = diagnosisText(diagnosisOf({
    fn: { group: null },
    functions: { "0000:00:03.0": ONBOARD },
  }));
  const lines = text.trimEnd().split("\n");
  for (const line of lines.slice(0, -1)) {
    assertMatch(line, /^(?:(?:pass|warn|fail) {2}[a-z-]+ {2,}\S| {6,}→ \S)/);
  }
  assertMatch(
    text,
    /^fail {2}group {2,}0000:01:00\.0: it has no IOMMU group: /m,
  );
  assertEquals(
    lines.at(-1),
    `This host is not fit for passthrough of ${A}: 1 failure`,
  );
});

Deno.test("diagnosisText() tells once what is the same for several devices", () => {
  const functions = Object.fromEntries(
    [3, 4, 5, 6, 7, 8].map((slot) => [
      `0000:00:0${slot}.0`,
      { id: "8086:10d3", class: 0x020000, reset: [] },
    ]),
  );
  const diagnosis = diagnose(Host.simulated({ functions }));
  assertEquals(
    diagnosis.findings.filter(({ check }) => check === "reset").length,
    6,
  );
  const lines = diagnosisText(diagnosis).split("\n");
  assertEquals(
    lines.filter((line) => line.startsWith("warn  reset")).length,
    1,
  );
  assertStringIncludes(
    lines.find((line) => line.startsWith("warn  reset"))!,
    "0000:00:03.0, 0000:00:04.0, 0000:00:05.0, 3 more: the kernel cannot",
  );
});

Deno.test("diagnosisText() breaks lines at words when it is told the width", () => {
  const diagnosis = diagnosisOf({ fn: { reset: [], group: null } });
  const lines = diagnosisText(diagnosis, 72).trimEnd().split("\n");
  const widths = lines.slice(0, -1).map((line) => line.length);
  assertEquals(widths.every((width) => width <= 72), true, lines.join("\n"));
  const words = (text: string) => text.split(/\s+/).join(" ");
  assertEquals(words(lines.join("\n")), words(diagnosisText(diagnosis).trim()));
});

Deno.test("diagnose() finds the same in a recording as on the host", () => {
  const host = Host.simulated({
    kernel: { release: RELEASE, commandLine: "intremap=off" },
    functions: {
      [PORT]: { id: "8086:a110", class: 0x060400, acs: false },
      [A]: { ...NIC, driver: "e1000e", reset: [] },
      "0000:00:03.0": { ...ONBOARD, group: null },
      "0000:00:04.0": { ...ONBOARD, acs: true, bars: ["8G 64bit at 0x0"] },
      "0000:00:04.1": { ...ONBOARD, acs: true, driver: "snd_hda_intel" },
    },
  });
  const recorded = Host.simulated(JSON.parse(JSON.stringify(host.snapshot())));
  assertEquals(diagnose(recorded), diagnose(host));
  const failed = diagnose(host).findings
    .filter(({ verdict }) => verdict !== "pass").map(({ check }) => check);
  assertEquals(new Set(failed).size, 5, failed.join(" "));
});
