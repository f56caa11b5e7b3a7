/**
 * IOMMU groups of unusual machines: their members, the causes, the findings,
 * and the plans.
 */
import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { AddressSpace, VfioDevice, VfioError } from "../../../mod.ts";
import { apply, plan } from "../../../lib/provision/mod.ts";
import { diagnose } from "../../../lib/doctor/mod.ts";
import {
  B550,
  causesOf,
  DL388P,
  driversOf,
  findingTexts,
  handOut,
  membersOf,
  THINKPAD,
  X11SCL,
} from "../odd_machines.ts";
import { refused } from "../planned.ts";

Deno.test("A B550's chipset puts its slot, network, USB and SATA in one group", async () => {
  const host = simulate(B550);
  assertEquals(membersOf(host, 15), [
    "0000:02:00.0",
    "0000:02:00.1",
    "0000:02:00.2",
    "0000:03:00.0",
    "0000:03:08.0",
    "0000:04:00.0",
    "0000:04:00.1",
    "0000:05:00.0",
  ]);
  assertEquals(causesOf(host, 15), [
    "0000:02:00 has no ACS",
    "0000:04:00 has no ACS",
    "0000:02:00.2 has no ACS",
  ]);
  const error = refused("GROUP_NOT_VIABLE", host, handOut("04:00.0"));
  assertEquals(
    error.problem,
    "its IOMMU group 15 would not be viable with 0000:02:00.0 on xhci_hcd " +
      "and 0000:02:00.1 on ahci and 0000:04:00.1 on snd_hda_intel and " +
      "0000:05:00.0 on r8169",
  );
  const [viable] = findingTexts(host, "04:00.0", "group-viable");
  assertStringIncludes(viable!, "fail its IOMMU group 15 also holds");
  assertStringIncludes(viable!, "0000:02:00.2 has no ACS");
  await using _ = await apply(host, handOut("04:00.0", "all endpoints"));
  assertEquals(driversOf(host, 15), [
    "vfio-pci",
    "vfio-pci",
    "pcieport",
    "pcieport",
    "pcieport",
    "vfio-pci",
    "vfio-pci",
    "vfio-pci",
  ]);
});

Deno.test("diagnose() finds the one of a B550's two cards that does not return from a reset", () => {
  const host = simulate(B550);
  assertStringIncludes(
    findingTexts(host, "04:00.0", "known-device").join(),
    "warn graphics of its family hang after the kernel's reset",
  );
  assertEquals(findingTexts(host, "08:00.0", "known-device"), [
    "pass no function has known problems",
  ]);
  // This card is behind its own switch. The ports and its functions have ACS.
  assertEquals(
    diagnose(host, { functions: [host.function("08:00.0")] }).fit,
    true,
  );
});

Deno.test("A Thinkpad's processor port puts the four functions of its card in one group", () => {
  const host = simulate(THINKPAD);
  assertEquals(causesOf(host, 2), [
    "0000:01:00 has no ACS",
    "0000:00:01.0 has no ACS",
  ]);
  const error = refused("GROUP_NOT_VIABLE", host, handOut("01:00.0"));
  assertStringIncludes(
    error.problem,
    "0000:01:00.1 on snd_hda_intel and 0000:01:00.2 on xhci_hcd and " +
      "0000:01:00.3 on nvidia-gpu",
  );
  assertStringIncludes(error.hint!, '"group": "all endpoints"');
  // The network is in the chipset's slot, with the sound.
  assertStringIncludes(
    refused("GROUP_NOT_VIABLE", host, handOut("00:1f.6")).problem,
    "0000:00:1f.3 on snd_hda_intel",
  );
});

Deno.test("plan() throws AMBIGUOUS when the id selects a Thinkpad's three drives", () => {
  const select = { id: "1344:5415" };
  const state = { functions: [{ select, driver: "vfio-pci" }] };
  const host = simulate(THINKPAD);
  assertEquals(
    refused("AMBIGUOUS", host, state).problem,
    "3 functions have id 1344:5415 (functions[0].select):\n" +
      "  0000:02:00.0  path 0000:00:1b.0/00.0, driver nvme\n" +
      "  0000:03:00.0  path 0000:00:1b.4/00.0, driver nvme\n" +
      "  0000:55:00.0  path 0000:00:1d.0/00.0, driver nvme",
  );
  const { steps } = plan(host, {
    functions: [{
      select: { path: "0000:00:1b.4/00.0" },
      driver: "vfio-pci",
    }],
  });
  assertEquals(steps.map(({ device }) => device), ["0000:03:00.0"]);
});

Deno.test("A Supermicro's console is behind a bridge to conventional PCI", () => {
  const host = simulate(X11SCL);
  assertEquals(membersOf(host, 17), ["0000:05:00.0", "0000:06:00.0"]);
  assertEquals(causesOf(host, 17), [
    "0000:05:00.0 is a bridge to conventional PCI, whose devices it names as " +
    "one",
  ]);
  assertEquals(driversOf(host, 17), ["none", "ast"]);
  refused("DRIVER_FAILED", host, handOut("05:00.0"));
  assertStringIncludes(
    findingTexts(host, "06:00.0", "reset").join(),
    "warn nothing can reset it: the kernel does not reset its bus either",
  );
});

Deno.test("A Supermicro's card is in use by VFIO, and stays there", async () => {
  const host = simulate(X11SCL);
  assertEquals(driversOf(host, 1), ["pcieport", "vfio-pci", "vfio-pci"]);
  assertEquals(plan(host, handOut("01:00.0", "all endpoints")).steps, []);
  await using device = await VfioDevice.attach(
    "0000:01:00.1",
    new AddressSpace({ host }),
  );
  assertEquals(device.space.backend?.backend, "legacy");
});

Deno.test("pciTree() names no bridge as the cause when the kernel isolates it by a quirk", () => {
  const host = simulate(DL388P);
  // 0000:00:1c.7 above it has no ACS either, but has its own group.
  assertEquals(causesOf(host, 25), ["0000:01:00 has no ACS"]);
  assertEquals(causesOf(host, 23), [
    "0000:06:00 has no ACS",
    "0000:05:02.0 has no ACS",
  ]);
  // The card's functions have separate groups, also by a quirk.
  assertEquals(
    [39, 40, 41, 42].map((group) => membersOf(host, group)),
    [["0000:24:00.0"], ["0000:24:00.1"], ["0000:24:00.2"], ["0000:24:00.3"]],
  );
});

for (const release of [DL388P.kernel!.release!, "6.6.0"]) {
  Deno.test(`VfioDevice.attach() says that an HP's firmware keeps memory mapped when Linux is ${release}`, async () => {
    const host = simulate({
      ...DL388P,
      kernel: { ...DL388P.kernel, release },
    });
    await using _ = await apply(host, handOut("06:00.0", "all endpoints"));
    assertEquals(
      host.group(23).reservedRegions.map(({ start, last, type }) =>
        `${start.toString(16)} ${last.toString(16)} ${type}`
      ),
      [
        "e8000 e8fff direct",
        "f4000 f4fff direct",
        "bdf6e000 bdf84fff direct",
        "fee00000 feefffff msi",
      ],
    );
    assertStringIncludes(
      findingTexts(host, "06:00.0", "direct-mapping").join(),
      "fail the firmware keeps memory mapped for its IOMMU group (0xe8000 to " +
        "0xe8fff)",
    );
    for (const backend of ["legacy", "iommufd"] as const) {
      if (backend === "iommufd" && release !== "6.6.0") continue;
      const space = new AddressSpace({ host, backend });
      const error = await assertRejects(
        () => VfioDevice.attach("0000:06:00.0", space),
        VfioError,
      );
      assertEquals(error.code, "NOT_SUPPORTED", error.message);
      assertStringIncludes(error.problem, "the firmware keeps memory mapped");
    }
    await using _fine = await apply(host, handOut("24:00.0"));
    await using device = await VfioDevice.attach(
      "0000:24:00.0",
      new AddressSpace({ host }),
    );
    assertEquals(device.name, "0000:24:00.0");
  });
}
