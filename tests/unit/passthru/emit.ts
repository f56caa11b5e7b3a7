import { assertEquals, assertStringIncludes } from "@std/assert";
import { HANDOFF_FORMATS } from "../../../lib/handoff/emit.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { COMMANDS } from "../../../scripts/passthru/commands.ts";
import { call, json } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";
const PATH = "/etc/cdi/gpu.json";

const MACHINE: Topology = {
  functions: {
    [A]: { id: "10de:1eb8", class: 0x030200, driver: "vfio-pci", group: 12 },
  },
  mediatedTypes: { [PARENT]: { "mtty-1": { instances: 2 } } },
  mediated: { [UUID]: { parent: PARENT, type: "mtty-1" } },
  files: { "/proc/sys/kernel/hostname": "node-a\n" },
};

Deno.test("passthru emit has each format", () => {
  assertEquals(COMMANDS.emit!.operands![0]!.kind, HANDOFF_FORMATS);
});

Deno.test("passthru emit prints a text, and tells what it cannot say", async () => {
  const qemu = await call(MACHINE, ["emit", "qemu", "01:00.0", UUID]);
  assertEquals(qemu, {
    code: 0,
    out: `-device vfio-pci,id=hd0,host=${A} ` +
      `-device vfio-pci,id=hd1,sysfsdev=/sys/bus/mdev/devices/${UUID}\n`,
    err: "",
  });
  const cdi = await call(MACHINE, ["emit", "cdi", "01:00.0"]);
  assertEquals([cdi.code, JSON.parse(cdi.out).kind], [
    0,
    "passthru.local/vfio",
  ]);
  assertStringIncludes(cdi.err, "note: CDI has no limit on locked memory");
  const shown = await json(MACHINE, ["emit", "cdi", "01:00.0"]);
  assertEquals([shown.format, shown.text, shown.notes.length], [
    "cdi",
    cdi.out,
    2,
  ]);
});

Deno.test("passthru emit systemd writes the words of this command", async () => {
  const { out } = await call(MACHINE, ["emit", "systemd", A]);
  assertStringIncludes(
    out,
    "ExecStart=/usr/local/bin/passthru apply --name passthru -\n",
  );
});

Deno.test("passthru emit --to writes a file, which restore removes", async () => {
  const host = simulate(MACHINE);
  const before = JSON.stringify(await host.snapshot());
  const argv = ["emit", "cdi", A, UUID, "--to", PATH, "--name", "a.com/gpu"];
  const { code, out, err } = await call(host, argv);
  assertEquals([code, out], [
    0,
    `${PATH}  cdi of 2 devices  there is no such file\nApplied: 1 step.\n`,
  ]);
  assertStringIncludes(err, "--ulimit");
  assertEquals(JSON.parse(host.kernel.readFile(PATH)).kind, "a.com/gpu");
  assertEquals((await call(host, argv)).out, "Nothing to do.\n");
  const restored = await call(host, ["restore"]);
  assertEquals(restored.out, `undone: ${PATH}: cdi of 2 devices\n`);
  assertEquals(exists(host.kernel, "/etc/cdi"), false);
  assertEquals(JSON.stringify(await host.snapshot()), before);
});

Deno.test("passthru emit --to leaves nothing when the file cannot be written", async () => {
  const host = simulate({
    ...MACHINE,
    files: { ...MACHINE.files, "/etc/cdi": "a file\n" },
  });
  const before = JSON.stringify(await host.snapshot());
  const failed = await call(host, ["emit", "cdi", A, "--to", PATH]);
  assertEquals([failed.code, failed.out], [1, ""]);
  assertStringIncludes(failed.err, PATH);
  assertEquals(JSON.stringify(await host.snapshot()), before);
  for (const path of ["gpu.json", "/etc/cdi/", "/etc/../x", "/etc/a\nb"]) {
    const refused = await call(host, ["emit", "cdi", A, "--to", path]);
    assertEquals([refused.code, refused.out], [2, ""]);
    assertStringIncludes(refused.err, "--to is ");
    assertStringIncludes(refused.err, "expected an absolute path");
  }
});

Deno.test("passthru emit refuses what is called wrongly, and what cannot be expressed", async () => {
  for (
    const [argv, code, message] of [
      [["emit"], 2, "FORMAT is missing"],
      [["emit", "cdi"], 2, "ADDRESS is missing"],
      [["emit", "libvrt", A], 2, "did you mean libvirt?"],
      [["emit", "cdi", "x"], 2, "Cannot parse PCI address"],
      [["emit", "cdi", "09:00.0"], 1, "passthru list"],
      [["emit", "cdi", A, A], 2, "is there twice"],
      [["emit", "cdi", A, "--name", "x"], 2, "The kind is"],
      [["emit", "qemu", A, "--consumer", "new"], 2, "expected numbers"],
      [["emit", "qemu", A, "--managed"], 1, "qemu has no managed"],
      [["emit", "libvirt", A, "--iommufd", "--consumer", "9.0"], 1, "12.1"],
      [["emit", "sriov-device-plugin", A], 1, "class 03"],
    ] as const
  ) {
    const outcome = await call(MACHINE, argv);
    assertEquals([outcome.code, outcome.out], [code, ""], outcome.err);
    assertStringIncludes(outcome.err, message);
  }
});
