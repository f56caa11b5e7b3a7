import { assertEquals, assertStringIncludes } from "@std/assert";
import { Host } from "../../lib/host/host.ts";
import { explainNoGroup, type Explanation } from "../../lib/host/no_iommu.ts";
import { FakeHost } from "./fake_sysfs.ts";

const A = "0000:00:03.0";

interface Machine {
  cpu?: string;
  cmdline?: string;
  table?: string;
  unit?: string;
}

function explain(machine: Machine): Explanation {
  const fake = new FakeHost();
  fake.function(A);
  fake.kernel.directory("/sys/class/iommu/mock/devices");
  fake.kernel.file("/proc/cpuinfo", machine.cpu ?? "");
  fake.kernel.file("/proc/cmdline", machine.cmdline ?? "quiet");
  if (machine.table !== undefined) {
    fake.kernel.file(`/sys/firmware/acpi/tables/${machine.table}`, "");
  }
  if (machine.unit !== undefined) {
    fake.kernel.link(`/sys/class/iommu/${machine.unit}/devices/x`, "/sys/x");
  }
  return explainNoGroup(new Host(fake).function(A));
}

const INTEL = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme";
const AMD = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vme";
const ARM = "processor\t: 0\nCPU implementer\t: 0x41";

/** Machines, and what the problem and the hint must say. */
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
    "Intel whose parameter did nothing",
    { cpu: INTEL, table: "DMAR", cmdline: "intel_iommu=on,sm_on" },
    "could not use",
    "CONFIG_INTEL_IOMMU",
  ],
  [
    "Intel switched off later on the command line",
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
    "take amd_iommu=off from",
  ],
  [
    "any IOMMU switched off on the command line",
    { cpu: AMD, cmdline: "iommu=off" },
    "iommu=off",
    "take iommu=off from",
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
    "an IOMMU that leaves the device out",
    { cpu: INTEL, unit: "dmar0" },
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

Deno.test("explainNoGroup() asks for no parameter when it is there already", () => {
  const { hint } = explain({ cpu: INTEL, cmdline: "intel_iommu=on" });
  assertEquals(hint, "switch VT-d on in the firmware's set-up");
});
