import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Explanation } from "../../../lib/host/iommu/explanation.ts";
import { explainNoGroup } from "../../../lib/host/iommu/no_iommu.ts";

const A = "0000:00:03.0";

interface Machine {
  cpu?: string;
  cmdline?: string;
  table?: string;
  iommu?: "intel";
}

function explain({ cpu = "", cmdline, table, iommu }: Machine): Explanation {
  const host = simulate({
    iommu: iommu ?? "none",
    kernel: { commandLine: cmdline ?? "quiet" },
    functions: {
      [A]: { id: "8086:10d3", group: null },
      "0000:00:04.0": { id: "8086:10d3" },
    },
    files: {
      "/proc/cpuinfo": cpu,
      ...(table && { [`/sys/firmware/acpi/tables/${table}`]: "" }),
      // the kernel's mock, which translates for no device
      "/sys/class/iommu/mock/uevent": "",
    },
  });
  return explainNoGroup(host.function(A));
}

const INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme";
const AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vme";
const ARM = "processor\t: 0\nCPU implementer\t: 0x41";

/** Machines, and texts of the problem and the hint. */
const CASES: readonly [string, Machine, string, string][] = [
  ["Intel with VT-d off", { cpu: INTEL }, "VT-d is switched off", "VT-d on"],
  ["Intel with VT-d off", { cpu: INTEL }, "VT-d", "intel_iommu=on"],
  [
    "Intel with VT-d unused",
    { cpu: INTEL, table: "DMAR" },
    "does not use it",
    "boot with the kernel parameter intel_iommu=on",
  ],
  [
    "Intel with a parameter that had no effect",
    { cpu: INTEL, table: "DMAR", cmdline: "intel_iommu=on,sm_on" },
    "could not enable",
    "CONFIG_INTEL_IOMMU",
  ],
  [
    "Intel with the IOMMU switched off later on the command line",
    { cpu: INTEL, table: "DMAR", cmdline: "intel_iommu=on intel_iommu=off" },
    "intel_iommu=off",
    "boot with intel_iommu=on",
  ],
  ["AMD with AMD-Vi off", { cpu: AMD }, "AMD-Vi is switched off", "AMD-Vi on"],
  [
    "AMD with AMD-Vi unused",
    { cpu: AMD, table: "IVRS" },
    "AMD-Vi",
    "CONFIG_AMD_IOMMU",
  ],
  [
    "AMD switched off on the command line",
    { cpu: AMD, table: "IVRS", cmdline: "iommu=pt amd_iommu=off" },
    "amd_iommu=off",
    "remove amd_iommu=off from",
  ],
  [
    "any IOMMU switched off on the command line",
    { cpu: AMD, cmdline: "iommu=off" },
    "iommu=off",
    "remove iommu=off from",
  ],
  ["Arm", { cpu: ARM }, "SMMU", "CONFIG_ARM_SMMU_V3"],
  [
    "a virtual machine",
    { cpu: `${INTEL} hypervisor` },
    "virtual machine",
    "-device intel-iommu",
  ],
  [
    "a virtio IOMMU without its driver",
    { cpu: AMD, table: "VIOT" },
    "virtio IOMMU",
    "virtio_iommu",
  ],
  ["another processor", { cpu: "isa : rv64" }, "found no IOMMU", "firmware"],
  [
    "one whose IOMMU leaves the device out",
    { cpu: INTEL, iommu: "intel" },
    "IOMMU (dmar0) does not cover it",
    "dmesg",
  ],
];

for (const [name, machine, problem, hint] of CASES) {
  Deno.test(`explainNoGroup() says "${hint}" when the host is ${name}`, () => {
    const found = explain(machine);
    assertStringIncludes(found.problem, problem);
    assertStringIncludes(found.hint, hint);
  });
}

Deno.test("explainNoGroup() suggests no parameter when it is set already", () => {
  const { hint } = explain({ cpu: INTEL, cmdline: "intel_iommu=on" });
  assertEquals(hint, "switch VT-d on in the firmware's set-up");
});
