/**
 * The doctor's verdicts, compared with the machine and with what the kernel
 * does: a function that is fit can be attached.
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import {
  diagnose,
  diagnosisText,
  type Finding,
} from "../../../lib/doctor/mod.ts";
import { pciTree } from "../../../lib/host/mod.ts";
import { refused } from "../../failures.ts";
import { addressOf, host, machine } from "./setup.ts";

/** Diagnoses functions, or the host when there are none. */
function diagnosisOf(...names: string[]) {
  const functions = names.map((name) => host.function(addressOf(name)));
  return diagnose(host, { functions });
}

/** The findings of one check. */
function found(check: string, ...names: string[]): Finding[] {
  return diagnosisOf(...names).findings.filter((each) => each.check === check);
}

/** Runs a program, and throws when it fails. */
async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args })
    .output();
  assert(success, new TextDecoder().decode(stderr));
}

/** Makes a test for machines that meet a condition. */
function testWhen(
  condition: boolean,
  name: string,
  body: () => Promise<void> | void,
): void {
  if (condition) Deno.test(name, body);
}

/** Makes a test for machines with an IOMMU. */
const test = testWhen.bind(undefined, machine.iommu !== "none");

Deno.test("diagnose() finds the host fit only when it has an IOMMU", () => {
  const diagnosis = diagnosisOf();
  const text = diagnosisText(diagnosis);
  assertEquals(diagnosis.fit, machine.iommu !== "none", text);
  assertEquals(
    diagnosis.findings.filter(({ verdict }) => verdict === "fail")
      .map(({ check }) => check),
    machine.iommu === "none" ? ["iommu"] : [],
    text,
  );
});

Deno.test("diagnose() names the backends that the machine has", () => {
  const [{ verdict, text } = { verdict: "", text: "" }] = found("vfio-backend");
  assertEquals(verdict, "pass");
  assertStringIncludes(text, "the container");
  assertEquals(
    text.includes("iommufd"),
    exists("/dev/iommu"),
  );
});

Deno.test("diagnose() finds that a function can be reset when the kernel has a method", () => {
  const reset = (name: string) =>
    found("reset", name).map(({ verdict }) => verdict);
  // An edu has no method, and an NVMe disk has one.
  assertEquals([reset("edu0"), reset("nvme0")], [["warn"], ["pass"]]);
});

testWhen(
  machine.iommu === "none",
  "diagnose() finds no IOMMU when the machine has none",
  async () => {
    const { fit, findings } = diagnosisOf("edu0");
    assertEquals(fit, false);
    assertMatch(
      findings[0]!.text,
      /virtual machine, and it was given no IOMMU/,
    );
    await using space = new AddressSpace({ host });
    await refused(
      "NO_IOMMU_GROUP",
      () => VfioDevice.attach(addressOf("edu0"), space),
    );
  },
);

test("diagnose() finds a function fit when it can be attached", async () => {
  for (const name of ["edu0", "nvme0", "e1000e0"]) {
    const diagnosis = diagnosisOf(name);
    assertEquals(diagnosis.fit, true, diagnosisText(diagnosis));
    await using taken = await host.take(addressOf(name));
    // After it is taken it is still fit: it has nodes, and it answers.
    assertEquals(diagnosisOf(name).fit, true);
    await using space = new AddressSpace({ host });
    await using device = await VfioDevice.attach(taken.device, space);
    assertEquals(device.attached, true);
  }
});

test("diagnose() finds a group not viable when attaching is refused", async () => {
  const [finding] = found("group-viable", "mixed1");
  assertEquals(finding!.verdict, "fail");
  assertEquals(finding!.device, addressOf("mixed1"));
  assertStringIncludes(finding!.text, `${addressOf("mixed0")} (nvme)`);
  assertStringIncludes(finding!.text, "slot 0000:00:06 has no ACS");
  await using taken = await host.take(addressOf("mixed1"));
  await using space = new AddressSpace({ host });
  await refused(
    "GROUP_NOT_VIABLE",
    () => VfioDevice.attach(taken.device, space),
  );
  assertEquals(diagnosisOf("mixed0", "mixed1").fit, true);
});

test("diagnose() finds interrupts remapped when the kernel's log says so", async () => {
  const log = await new Deno.Command("dmesg").output();
  const kernelSaysSo = /Enabled IRQ remapping/
    .test(new TextDecoder().decode(log.stdout));
  const [finding] = found("interrupt-remapping");
  assertEquals(finding!.verdict, kernelSaysSo ? "pass" : "fail");
});

test("pciTree() explains every group when the kernel has put several functions in it", () => {
  const tree = pciTree(host);
  const shared = tree.sharedGroups;
  const groups = host.groups().filter(({ devices }) => devices.length > 1);
  assertEquals(shared.map(({ group }) => group), groups.map(({ id }) => id));
  for (const { causes, functions } of shared) {
    assert(causes.length > 0, functions.join(" "));
  }
  const pair = shared.find(({ functions }) =>
    functions.includes(addressOf("pair0"))
  );
  // An edu is a conventional PCI device, and an NVMe disk is not.
  assertEquals(pair!.causes.map(({ device }) => device), ["0000:00:05"]);
  assertMatch(pair!.causes[0]!.reason, /^is conventional PCI/);
  // A function behind a port with ACS is alone.
  const sriov = host.function(addressOf("sriov0")).iommuGroup!;
  assertEquals(sriov.devices.map(({ name }) => name), [addressOf("sriov0")]);
});

const BUILT_IN = machine.kernel === "testbed";

testWhen(
  BUILT_IN,
  "diagnose() says that vfio-pci is built in when the kernel has it so",
  () => {
    const [finding] = found("vfio-driver");
    assertEquals(finding!.verdict, "pass");
    assertStringIncludes(finding!.text, "built into the kernel");
  },
);

testWhen(
  !BUILT_IN,
  "diagnose() passes after its remedy when vfio-pci was not loaded",
  async () => {
    const [before] = found("vfio-driver");
    assertEquals(before!.text, "vfio-pci is loaded");
    await run("modprobe", "-r", "vfio-pci");
    const [missing] = found("vfio-driver");
    assertEquals(missing!.verdict, "fail");
    assertEquals(missing!.text, "vfio-pci is not loaded");
    const [remedy = ""] = missing!.remedy!.split(";");
    await run(...remedy.split(" ") as [string, ...string[]]);
    assertEquals(found("vfio-driver"), [before]);
  },
);

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
