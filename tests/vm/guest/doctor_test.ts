/**
 * The doctor's verdicts, next to what the machine is and what the kernel then
 * does: where nothing is found against a function, it can be attached.
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

/** What is found when these functions are asked for; none for the host. */
function diagnosisOf(...names: string[]) {
  const functions = names.map((name) => host.function(addressOf(name)));
  return diagnose(host, { functions });
}

/** What one check finds. */
function found(check: string, ...names: string[]): Finding[] {
  return diagnosisOf(...names).findings.filter((each) => each.check === check);
}

/** Ends in an error unless the program ends well. */
async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args })
    .output();
  assert(success, new TextDecoder().decode(stderr));
}

/** Makes a test for machines that are like that. */
function testWhen(
  condition: boolean,
  name: string,
  body: () => Promise<void> | void,
): void {
  if (condition) Deno.test(name, body);
}

/** Makes a test for machines with an IOMMU. */
const test = testWhen.bind(undefined, machine.iommu !== "none");

Deno.test("diagnose() finds the host fit when it has an IOMMU, and only then", () => {
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

Deno.test("diagnose() says that a function can be reset when the kernel says how", () => {
  const reset = (name: string) =>
    found("reset", name).map(({ verdict }) => verdict);
  // An edu has no way, an NVMe disk has.
  assertEquals([reset("edu0"), reset("nvme0")], [["warn"], ["pass"]]);
});

testWhen(
  machine.iommu === "none",
  "diagnose() finds no IOMMU when the machine was given none",
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

test("diagnose() finds a function fit that then can be attached", async () => {
  for (const name of ["edu0", "nvme0", "e1000e0"]) {
    const diagnosis = diagnosisOf(name);
    assertEquals(diagnosis.fit, true, diagnosisText(diagnosis));
    await using taken = await host.take(addressOf(name));
    // Taken, it is still fit: its nodes are there, and it answers.
    assertEquals(diagnosisOf(name).fit, true);
    await using space = new AddressSpace({ host });
    await using device = await VfioDevice.attach(taken.function, space);
    assertEquals(device.attached, true);
  }
});

test("diagnose() finds a group not viable that then is refused", async () => {
  const [finding] = found("group-viable", "mixed1");
  assertEquals(finding!.verdict, "fail");
  assertEquals(finding!.device, addressOf("mixed1"));
  assertStringIncludes(finding!.text, `${addressOf("mixed0")} (nvme)`);
  assertStringIncludes(finding!.text, "slot 0000:00:06 has no ACS");
  await using taken = await host.take(addressOf("mixed1"));
  await using space = new AddressSpace({ host });
  await refused(
    "GROUP_NOT_VIABLE",
    () => VfioDevice.attach(taken.function, space),
  );
  assertEquals(diagnosisOf("mixed0", "mixed1").fit, true);
});

test("diagnose() finds interrupts remapped when the kernel says that it does", async () => {
  const log = await new Deno.Command("dmesg").output();
  const says = /Enabled IRQ remapping/
    .test(new TextDecoder().decode(log.stdout));
  const [finding] = found("interrupt-remapping");
  assertEquals(finding!.verdict, says ? "pass" : "fail");
});

test("pciTree() explains every group that the kernel made of several functions", () => {
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
  // An edu is no PCI Express device, and a disk of NVMe is.
  assertEquals(pair!.causes.map(({ device }) => device), ["0000:00:05"]);
  assertMatch(pair!.causes[0]!.reason, /^is conventional PCI/);
  // Behind a port that has ACS it is alone.
  const sriov = host.function(addressOf("sriov0")).iommuGroup!;
  assertEquals(sriov.devices.map(({ name }) => name), [addressOf("sriov0")]);
});

const BUILT_IN = machine.kernel === "testbed";

testWhen(
  BUILT_IN,
  "diagnose() says that there is nothing to load when vfio-pci is built in",
  () => {
    const [finding] = found("vfio-driver");
    assertEquals(finding!.verdict, "pass");
    assertStringIncludes(finding!.text, "built into the kernel");
  },
);

testWhen(
  !BUILT_IN,
  "diagnose() says how to load vfio-pci, and that is what it takes",
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
