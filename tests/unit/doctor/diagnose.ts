import { assertEquals, assertStringIncludes } from "@std/assert";
import { diagnose } from "../../../lib/doctor/diagnose.ts";
import { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  A,
  B,
  type Defects,
  diagnosisOf,
  found,
  hostWith,
  MODULES,
  NIC,
  ONBOARD,
  PORT,
  RELEASE,
} from "./fit_host.ts";

Deno.test("diagnose() passes everything when the host is fit", () => {
  for (const wholeHost of [false, true]) {
    const { fit, findings, functions } = diagnosisOf({ wholeHost });
    assertEquals(findings.filter(({ verdict }) => verdict !== "pass"), []);
    assertEquals(fit, true);
    assertEquals(functions, wholeHost ? [] : [A]);
    for (const must of ["iommu", "vfio-driver", "group-viable", "nodes"]) {
      assertEquals(findings.some(({ check }) => check === must), true, must);
    }
  }
});

Deno.test("diagnose() returns plain data", () => {
  const diagnosis = diagnosisOf({ fn: { group: null } });
  assertEquals(JSON.parse(JSON.stringify(diagnosis)), diagnosis);
});

Deno.test("diagnose() changes nothing, and leaves nothing open", () => {
  const { machine } = simulate({ functions: { [A]: NIC } });
  const host = new SimulatedHost(machine, { name: "doctor" });
  diagnose(host);
  const { pid } = /^Pid:\s*(?<pid>\d+)/m
    .exec(host.kernel.readFile("/proc/self/status"))!.groups as { pid: string };
  assertEquals(host.kernel.readdir(`/proc/${pid}/fd`), []);
});

Deno.test("diagnose() finds the functions fit when only others have defects", () => {
  const defects: Defects = {
    wholeHost: true,
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

Deno.test("diagnose() finds a group viable when all of its functions are given", () => {
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
      text: "once the functions are taken, their IOMMU groups are viable",
    }],
  );
});

Deno.test("diagnose() says how to unbind a bridge when it keeps a group from being viable", () => {
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
  assertEquals(
    finding!.remedy,
    "first: passthru bind 0000:00:1f.0 none; then take it: " +
      `passthru bind ${A}`,
  );
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

/** A kernel with some other methods. */
function withMethods(kernel: Kernel, methods: Partial<Kernel>): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      const value = Reflect.get(methods, name) ?? Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

Deno.test("diagnose() finds that a function does not answer when its registers read as ones", () => {
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

Deno.test("diagnose() names the module of the container when there is no backend", () => {
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

Deno.test("diagnose() passes for a user when the nodes are the user's", () => {
  const { machine } = simulate({
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

Deno.test("diagnose() finds the same in a recording as on the host", async () => {
  const host = simulate({
    kernel: { release: RELEASE, commandLine: "intremap=off" },
    functions: {
      [PORT]: { id: "8086:a110", class: 0x060400, acs: false },
      [A]: { ...NIC, driver: "e1000e", reset: [] },
      "0000:00:03.0": { ...ONBOARD, group: null },
      "0000:00:04.0": { ...ONBOARD, acs: true, bars: ["8G 64bit at 0x0"] },
      "0000:00:04.1": { ...ONBOARD, acs: true, driver: "snd_hda_intel" },
    },
  });
  const recorded = simulate(JSON.parse(JSON.stringify(await host.snapshot())));
  assertEquals(diagnose(recorded), diagnose(host));
  const failed = diagnose(host).findings
    .filter(({ verdict }) => verdict !== "pass").map(({ check }) => check);
  assertEquals(new Set(failed).size, 5, failed.join(" "));
});

Deno.test("diagnose() tells what the IOMMU can do beside translating", () => {
  const text = (defects: Defects) =>
    found("iommu-features", defects).map(({ verdict, text }) => {
      assertEquals(verdict, "pass");
      return text;
    });
  const none =
    "the IOMMU has no dirty tracking, no nested page tables, no PASIDs";
  assertEquals(text({}), [none]);
  assertEquals(text({ iommu: "amd" }), [none]);
  assertEquals(text({ iommu: "virtio" }), [none]);
  assertEquals(text({ iommu: "none" }), []);
  const needs = " (with intel_iommu=sm_on, where that is not the kernel's " +
    "default)";
  const intel = (ecap: string) =>
    text({ files: { "/sys/class/iommu/dmar0/intel-iommu/ecap": ecap } });
  assertEquals(intel("290004f00f4a\n"), [
    `the IOMMU has dirty tracking, nested page tables, PASIDs${needs}`,
  ]);
  // Without scalable mode they are of no use.
  assertEquals(intel("210004f00f4a\n"), [none]);
  assertEquals(text({ dirtyTracking: true }), [
    "the IOMMU has dirty tracking, no nested page tables, no PASIDs" + needs,
  ]);
  assertEquals(text({ iommu: "amd", dirtyTracking: true }), [
    "the IOMMU has dirty tracking, no nested page tables, no PASIDs",
  ]);
  const efr = "/sys/class/iommu/ivhd0/amd-iommu/features";
  // The order of the words differs between kernels.
  for (const words of ["50000000029d3:1\n", "1:50000000029d3\n"]) {
    assertEquals(text({ iommu: "amd", files: { [efr]: words } }), [
      "the IOMMU has no dirty tracking, no nested page tables, PASIDs",
    ]);
  }
});

Deno.test("diagnose() names the IOMMU that translates", () => {
  for (
    const [iommu, name] of [
      ["intel", "Intel VT-d translates (dmar0)"],
      ["amd", "AMD-Vi translates (ivhd0)"],
      ["virtio", "a virtio IOMMU translates (0000:00:1b.0)"],
    ] as const
  ) {
    const [finding] = found("iommu", { iommu });
    assertStringIncludes(finding!.text, name);
  }
});
