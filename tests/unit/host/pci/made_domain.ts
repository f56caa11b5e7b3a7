/**
 * A drive in a domain that the driver of another function makes, Intel's Volume
 * Management Device: its findings, and the plans for both.
 */
import { simulate } from "../../../../lib/sim/mod.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { AddressSpace, VfioDevice, VfioError } from "../../../../mod.ts";
import { apply } from "../../../../lib/provision/mod.ts";
import { diagnose } from "../../../../lib/doctor/mod.ts";
import { pciTree } from "../../../../lib/host/mod.ts";
import { HostFiles } from "../../host_files.ts";
import { DELL, findingTexts, handOut, membersOf } from "../../odd_machines.ts";
import { refused } from "../../planned.ts";

Deno.test("Host lists and finds a Dell's drive in its own domain", async () => {
  const host = simulate(DELL);
  assertEquals(
    host.functions().slice(-2).map(({ address }) => address),
    ["10000:e0:06.0", "10000:e1:00.0"],
  );
  assertEquals(
    host.function("10000:E1:00.0").path,
    "/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/" +
      "10000:e1:00.0",
  );
  const byPath = { path: "10000:e0:06.0/00.0" };
  assertEquals(
    refused("GROUP_NOT_VIABLE", host, {
      functions: [{ select: byPath, driver: "vfio-pci" }],
    }).device,
    "10000:e1:00.0",
  );
  assertEquals(
    pciTree(host).buses.map(({ name, functions }) => [name, functions.length]),
    [["0000:00", 20], ["10000:e0", 1]],
  );
  const before = await host.snapshot();
  {
    await using taken = await host.take("10000:e1:00.0");
    assertEquals(taken.device.driver, "vfio-pci");
  }
  assertEquals(await host.snapshot(), before);
});

Deno.test("plan() throws GROUP_NOT_VIABLE when the state takes a Dell's drive out of its domain", () => {
  const host = simulate(DELL);
  assertEquals(membersOf(host, 7), [
    "0000:00:0e.0",
    "10000:e0:06.0",
    "10000:e1:00.0",
  ]);
  for (const group of [undefined, "all endpoints"] as const) {
    const error = refused(
      "GROUP_NOT_VIABLE",
      host,
      handOut("10000:e1:00.0", group),
    );
    assertEquals(
      error.problem,
      "its IOMMU group 7 is that of 0000:00:0e.0, whose driver vmd makes the " +
        "domain that it is in",
    );
    assertStringIncludes(error.hint!, "hand out 0000:00:0e.0 itself");
  }
  assertStringIncludes(
    findingTexts(host, "10000:e1:00.0", "group-viable").join(),
    "fail its IOMMU group 7 also holds 0000:00:0e.0 (vmd)",
  );
  // All of these are warnings.
  const warnings = diagnose(host).findings.filter(({ device, verdict }) =>
    verdict === "warn" && (device === "10000:e1:00.0" ||
      device === "0000:00:0e.0")
  );
  assertEquals(
    warnings.map(({ check }) => check),
    ["group-viable", "acs", "host-use"],
  );
  for (const { remedy } of warnings) {
    assertStringIncludes(
      remedy!,
      "passthru bind 0000:00:0e.0 --insist 0000:00:0e.0",
    );
  }
  const viability = host.group(7).viability();
  assertEquals(
    !viability.viable && viability.obstacles.map(({ remedy }) => remedy),
    Array(2).fill(
      "hand out 0000:00:0e.0 itself, and with it all that is behind it: " +
        "passthru bind 0000:00:0e.0 --insist 0000:00:0e.0; or have no such " +
        "domain: switch VMD off in the firmware's set-up",
    ),
  );
});

Deno.test("apply() takes the function that makes a Dell's domain, and restore() brings the domain back", async () => {
  const host = simulate(DELL);
  const before = await host.snapshot();
  const state = handOut("0000:00:0e.0");
  assertEquals(
    findingTexts(host, "00:0e.0", "group-viable"),
    ["pass once the functions are taken, their IOMMU groups are viable"],
  );
  {
    const error = await assertRejects(() => apply(host, state), VfioError);
    assertEquals(
      error.problem,
      "the host uses it: 10000:e1:00.0 (nvme) vanishes with it",
    );
    await using _ = await apply(host, state, { insist: ["0000:00:0e.0"] });
    assertEquals(membersOf(host, 7), ["0000:00:0e.0"]);
    await using device = await VfioDevice.attach(
      "0000:00:0e.0",
      new AddressSpace({ host }),
    );
    assertEquals(device.name, "0000:00:0e.0");
  }
  assertEquals(await host.snapshot(), before);
  assertEquals(host.function("10000:e1:00.0").driver, "nvme");
});

Deno.test("apply() throws HOST_IN_USE when a Dell uses the drive in the domain", async () => {
  const drive = "/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/" +
    "10000:e0:06.0/10000:e1:00.0/nvme/nvme0/nvme0n1";
  const { all } = new HostFiles().disk(drive, "259:0", 1).mount("259:1", "/");
  const host = simulate({ ...DELL, files: all });
  const error = await assertRejects(
    () => apply(host, handOut("0000:00:0e.0")),
    VfioError,
  );
  assertEquals(error.code, "HOST_IN_USE");
  assertStringIncludes(error.problem, "/dev/nvme0n1p1 is mounted at /");
  assertEquals(host.function("10000:e1:00.0").driver, "nvme");
});
