/**
 * Odd machines, transcribed from listings that people published
 * (`tests/recordings/README.md`): their groups, what is said of them, and what
 * is planned for them.
 */
import {
  assertEquals,
  assertObjectMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import {
  AddressSpace,
  apply,
  type CheckName,
  type DesiredState,
  diagnose,
  Host,
  pciTree,
  plan,
  type Topology,
  VfioDevice,
  VfioError,
} from "../../../mod.ts";
import amd from "../../recordings/amd_b550.json" with { type: "json" };
import dell from "../../recordings/dell_vmd.json" with { type: "json" };
import hp from "../../recordings/hp_dl388p_gen8.json" with { type: "json" };
import supermicro from "../../recordings/supermicro_x11scl.json" with {
  type: "json",
};
import thinkpad from "../../recordings/thinkpad_p53.json" with { type: "json" };
import { HostFiles } from "../host_files.ts";
import { refused } from "../planned.ts";

type Functions = NonNullable<Topology["functions"]>;

const LISTINGS: Readonly<Record<string, Topology>> = {
  "a Gigabyte B550": amd as Topology,
  "a Dell with VMD": dell as Topology,
  "an HP DL388p Gen8": hp as Topology,
  "a Supermicro X11SCL": supermicro as Topology,
  "a Thinkpad P53": thinkpad as Topology,
};

/**
 * Functions of the HP that keep apart what is behind them, or their slot, though
 * they have no ACS: `pci_quirk_intel_pch_acs()`, `pci_quirk_mf_endpoint_acs()`
 * in `drivers/pci/quirks.c`.
 */
const ISOLATED_BY_QUIRK = new Set([
  "0000:00:1c.0",
  "0000:00:1c.7",
  "0000:24:00.0",
  "0000:24:00.1",
  "0000:24:00.2",
  "0000:24:00.3",
]);

/** The functions of a listing, changed. */
function changed(
  listing: Topology,
  change: (fn: Functions[string], address: string) => Functions[string],
): Topology {
  const functions = Object.entries(listing.functions!)
    .map(([address, fn]) => [address, change(fn, address)]);
  return { ...listing, functions: Object.fromEntries(functions) };
}

/** Which functions are in one group, for each. */
function groupsOf(host: Host): string[] {
  return host.groups()
    .map(({ devices }) => devices.map(({ name }) => name).sort().join(" "))
    .sort();
}

function membersOf(host: Host, group: number): string[] {
  return host.group(group).devices.map(({ name }) => name);
}

/** What fails to keep the functions of a group apart. */
function causesOf(host: Host, group: number): string[] {
  const shared = pciTree(host).sharedGroups
    .find((each) => each.group === String(group));
  return shared!.causes.map(({ device, reason }) => `${device} ${reason}`);
}

/** What the doctor says of a function, of one check, as "verdict text". */
function said(host: Host, address: string, check: CheckName): string[] {
  return diagnose(host, { functions: [host.function(address)] }).findings
    .filter((finding) => finding.check === check)
    .map(({ verdict, text }) => `${verdict} ${text}`);
}

/** That a function goes to user space. */
function handOut(select: string, group?: "all endpoints"): DesiredState {
  return {
    functions: [{ select, driver: "vfio-pci", ...(group && { group }) }],
  };
}

/** The drivers of a group's functions. */
function driversOf(host: Host, group: number): string[] {
  return host.group(group).devices.map(({ driver }) => driver ?? "none");
}

for (const [name, listing] of Object.entries(LISTINGS)) {
  let recorded: Topology | undefined;
  const recordingOf = () => recorded ??= Host.simulated(listing).snapshot();

  Deno.test(`Host.snapshot() has what the listing of ${name} says`, () => {
    const recording = recordingOf();
    for (const [address, said] of Object.entries(listing.functions!)) {
      const { reserved: _, ...rest } = said;
      assertObjectMatch(recording.functions![address]!, rest);
    }
    assertEquals(Host.simulated(recording).snapshot(), recording);
  });

  Deno.test(`Host.simulated() groups the functions of ${name} as its kernel did when no group is said`, () => {
    const host = Host.simulated(
      changed(listing, ({ group: _, ...fn }, address) => ({
        ...fn,
        ...(listing === hp && ISOLATED_BY_QUIRK.has(address) && { acs: true }),
      })),
    );
    assertEquals(groupsOf(host), groupsOf(Host.simulated(listing)));
  });

  Deno.test(`apply() takes the groups of ${name} whole that hold several, and restores`, async () => {
    const host = Host.simulated(listing);
    const taken = pciTree(host).sharedGroups.map(({ functions }) =>
      functions.map((address) => host.function(address))
        .find((fn) => fn.class >> 8 !== 0x0604)!
    );
    const state: DesiredState = {
      functions: taken.flatMap(({ address }) =>
        handOut(address, "all endpoints").functions!
      ),
    };
    {
      await using _ = await apply(host, state);
      for (const { iommuGroup } of taken) {
        assertEquals(iommuGroup!.viability(), { viable: true });
      }
      assertEquals(plan(host, state).steps, []);
    }
    assertEquals(host.snapshot(), recordingOf());
  });
}

Deno.test("A B550's chipset lumps its slot, network, USB and SATA together", async () => {
  const host = Host.simulated(amd as Topology);
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
  const [viable] = said(host, "04:00.0", "group-viable");
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

Deno.test("diagnose() knows which of a B550's two cards does not come back from a reset", () => {
  const host = Host.simulated(amd as Topology);
  assertStringIncludes(
    said(host, "04:00.0", "known-device").join(),
    "warn graphics of its family hang after the kernel's reset",
  );
  assertEquals(said(host, "08:00.0", "known-device"), [
    "pass nothing is known against any function",
  ]);
  // Behind its own switch, whose ports have ACS as its functions have.
  assertEquals(
    diagnose(host, { functions: [host.function("08:00.0")] }).fit,
    true,
  );
});

Deno.test("A Thinkpad's processor port lumps the four functions of its card together", () => {
  const host = Host.simulated(thinkpad as Topology);
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
  // The network is part of the chipset's slot, with the sound.
  assertStringIncludes(
    refused("GROUP_NOT_VIABLE", host, handOut("00:1f.6")).problem,
    "0000:00:1f.3 on snd_hda_intel",
  );
});

Deno.test("plan() is AMBIGUOUS when a Thinkpad's three drives are meant by their id", () => {
  const select = { id: "1344:5415" };
  const state = { functions: [{ select, driver: "vfio-pci" }] };
  const host = Host.simulated(thinkpad as Topology);
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
  const host = Host.simulated(supermicro as Topology);
  assertEquals(membersOf(host, 17), ["0000:05:00.0", "0000:06:00.0"]);
  assertEquals(causesOf(host, 17), [
    "0000:05:00.0 is a bridge to conventional PCI, whose devices it names as " +
    "one",
  ]);
  assertEquals(driversOf(host, 17), ["none", "ast"]);
  refused("DRIVER_FAILED", host, handOut("05:00.0"));
  assertStringIncludes(
    said(host, "06:00.0", "reset").join(),
    "warn the kernel cannot reset it",
  );
});

Deno.test("A Supermicro's card is in use by VFIO, and stays there", async () => {
  const host = Host.simulated(supermicro as Topology);
  assertEquals(driversOf(host, 1), ["pcieport", "vfio-pci", "vfio-pci"]);
  assertEquals(plan(host, handOut("01:00.0", "all endpoints")).steps, []);
  await using device = await VfioDevice.attach(
    "0000:01:00.1",
    new AddressSpace({ host }),
  );
  assertEquals(device.space.backend?.backend, "legacy");
});

Deno.test("pciTree() holds no bridge responsible that the kernel knows to isolate", () => {
  const host = Host.simulated(hp as Topology);
  // 0000:00:1c.7 above it has no ACS either, and is in a group of its own.
  assertEquals(causesOf(host, 25), ["0000:01:00 has no ACS"]);
  assertEquals(causesOf(host, 23), [
    "0000:06:00 has no ACS",
    "0000:05:02.0 has no ACS",
  ]);
  // The card's own functions are apart, by a quirk as well.
  assertEquals(
    [39, 40, 41, 42].map((group) => membersOf(host, group)),
    [["0000:24:00.0"], ["0000:24:00.1"], ["0000:24:00.2"], ["0000:24:00.3"]],
  );
});

for (const release of [hp.kernel.release, "6.6.0"]) {
  Deno.test(`VfioDevice.attach() says that an HP's firmware keeps memory mapped when Linux is ${release}`, async () => {
    const host = Host.simulated({
      ...hp as Topology,
      kernel: { ...hp.kernel, release },
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
      said(host, "06:00.0", "direct-mapping").join(),
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

Deno.test("A Dell's drive is in a domain of its own, listed and found", async () => {
  const host = Host.simulated(dell as Topology);
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
  const before = host.snapshot();
  {
    await using taken = await host.take("10000:e1:00.0");
    assertEquals(taken.function.driver, "vfio-pci");
  }
  assertEquals(host.snapshot(), before);
});

Deno.test("plan() is GROUP_NOT_VIABLE when a Dell's drive is to be taken out of its domain", () => {
  const host = Host.simulated(dell as Topology);
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
    said(host, "10000:e1:00.0", "group-viable").join(),
    "fail its IOMMU group 7 also holds 0000:00:0e.0 (vmd)",
  );
  // With all that it has taken, none of which stops another.
  const whole = diagnose(host).findings.filter(({ device, verdict }) =>
    verdict === "warn" && (device === "10000:e1:00.0" ||
      device === "0000:00:0e.0")
  );
  assertEquals(whole.map(({ check }) => check), ["group-viable", "acs"]);
  for (const { remedy } of whole) {
    assertStringIncludes(remedy!, "hand out 0000:00:0e.0 itself");
  }
  const viability = host.group(7).viability();
  assertEquals(
    !viability.viable && viability.obstacles.map(({ remedy }) => remedy),
    Array(2).fill(
      "hand out 0000:00:0e.0 itself, and with it all that is behind it; or " +
        "have no such domain: switch VMD off in the firmware's set-up",
    ),
  );
});

Deno.test("apply() takes what makes a Dell's domain, which goes and comes back", async () => {
  const host = Host.simulated(dell as Topology);
  const before = host.snapshot();
  const state = handOut("0000:00:0e.0");
  assertEquals(
    said(host, "00:0e.0", "group-viable"),
    ["pass once the functions are taken nothing keeps their IOMMU groups"],
  );
  {
    await using _ = await apply(host, state);
    assertEquals(membersOf(host, 7), ["0000:00:0e.0"]);
    await using device = await VfioDevice.attach(
      "0000:00:0e.0",
      new AddressSpace({ host }),
    );
    assertEquals(device.name, "0000:00:0e.0");
  }
  assertEquals(host.snapshot(), before);
  assertEquals(host.function("10000:e1:00.0").driver, "nvme");
});

Deno.test("apply() is HOST_IN_USE when a Dell lives on the drive in the domain", async () => {
  const drive = "/sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/" +
    "10000:e0:06.0/10000:e1:00.0/nvme/nvme0/nvme0n1";
  const { all } = new HostFiles().disk(drive, "259:0", 1).mount("259:1", "/");
  const host = Host.simulated({ ...dell as Topology, files: all });
  const error = await assertRejects(
    () => apply(host, handOut("0000:00:0e.0")),
    VfioError,
  );
  assertEquals(error.code, "HOST_IN_USE");
  assertStringIncludes(error.problem, "/dev/nvme0n1p1 is mounted at /");
  assertEquals(host.function("10000:e1:00.0").driver, "nvme");
});
