import { exists } from "../../../lib/host/sysfs.ts";
import { O_CREAT, O_WRONLY } from "../../../lib/uapi/linux/fcntl.ts";
import { chmod, chown } from "../../kernels/by_path.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { apply } from "../../../lib/provision/apply.ts";
import {
  persist,
  persisted,
  unpersist,
} from "../../../lib/provision/boot/persist.ts";
import { restore } from "../../../lib/provision/restore.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { status } from "../../../lib/provision/status.ts";
import { unitFiles, unitText } from "../../../lib/provision/boot/unit.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  GPU,
  newcomer,
  NIC,
  PHYSICAL,
  stateOf,
  TOPOLOGY,
} from "../provision_bench.ts";

const command = ["/usr/local/bin/passthru"];
const STATE: DesiredState = {
  functions: [
    { select: GPU, driver: "vfio-pci" },
    { select: NIC, driver: "pci-stub" },
    {
      select: PHYSICAL,
      virtualFunctions: {
        count: 2,
        driver: "vfio-pci",
        overrides: { "1": { driver: "mlx5_vfio_pci" } },
      },
    },
  ],
};
const RESERVED = [
  { address: GPU, vendor: 0x8086, device: 0x5912, driver: "vfio-pci" },
];

Deno.test("unitFiles() adds a unit that keeps the host at the state", () => {
  const [unit, link] = unitFiles({
    name: "desk",
    state: STATE,
    command,
    reserved: [],
    watch: true,
  }).slice(-2);
  const path = "/etc/systemd/system/passthru-desk:watch.service";
  assertEquals(unit!.path, path);
  assertStringIncludes(
    (unit as { text: string }).text,
    "\nRequires=passthru-desk.service\nAfter=passthru-desk.service\n",
  );
  assertStringIncludes(
    (unit as { text: string }).text,
    "\nExecStart=/usr/local/bin/passthru apply --watch --json --name desk " +
      "/etc/passthru/desk.json\n",
  );
  assertEquals((link as { target: string }).target, path);
});

Deno.test("unitFiles() returns the state, the drivers, the rules, the unit, and its link", () => {
  const files = unitFiles({
    name: "desk",
    state: STATE,
    command,
    reserved: RESERVED,
  });
  const [state, modules, rules, unit, link] = files;
  assertEquals(files.map(({ path }) => path), [
    "/etc/passthru/desk.json",
    "/etc/modules-load.d/passthru-desk.conf",
    "/etc/udev/rules.d/10-passthru-desk.rules",
    "/etc/systemd/system/passthru-desk.service",
    "/etc/systemd/system/multi-user.target.wants/passthru-desk.service",
  ]);
  assert(state?.kind === "file" && modules?.kind === "file");
  assertEquals(JSON.parse(state.text!), STATE);
  assertEquals(modules.text, "mlx5_vfio_pci\nvfio-pci\n");
  assert(rules?.kind === "file" && unit?.kind === "file");
  assertEquals(
    rules.text,
    `ACTION=="add", SUBSYSTEM=="pci", KERNEL=="${GPU}", ` +
      'ATTR{vendor}=="0x8086", ATTR{device}=="0x5912", ' +
      'ATTR{driver_override}="vfio-pci"\n',
  );
  assert(link?.kind === "link");
  assertEquals(link.target, unit.path);
});

Deno.test("unitFiles() loads no modules, and reserves nothing, when the state needs none", () => {
  const state = { functions: [{ select: NIC, driver: null }] };
  const files = unitFiles({ name: "desk", state, command, reserved: [] });
  assertEquals(files.map(({ path }) => path), [
    "/etc/passthru/desk.json",
    "/etc/systemd/system/passthru-desk.service",
    "/etc/systemd/system/multi-user.target.wants/passthru-desk.service",
  ]);
});

Deno.test("unitText() applies before users start, and restores when it stops", () => {
  const text = unitText({ name: "desk", state: {}, command, reserved: [] });
  const lines = text.split("\n");
  const value = (key: string) =>
    lines.find((line) => line.startsWith(`${key}=`))?.slice(key.length + 1);
  assertEquals(value("Type"), "oneshot");
  assertEquals(value("RemainAfterExit"), "yes");
  assertStringIncludes(value("After")!, "systemd-modules-load.service");
  const before = value("Before")!.split(" ");
  assert(before.includes("libvirtd.service"));
  assert(before.includes("multi-user.target"));
  assertEquals(
    value("ExecStart"),
    "/usr/local/bin/passthru apply --name desk /etc/passthru/desk.json",
  );
  assertEquals(
    value("ExecStop"),
    "/usr/local/bin/passthru restore --name desk --keep-boot",
  );
});

Deno.test("unitText() quotes the words of the command for systemd", () => {
  const words: [string, string][] = [
    ["--allow-ffi", "--allow-ffi"],
    ["/a b/c", '"/a b/c"'],
    ['say "so"', '"say \\"so\\""'],
    ["a\\b", '"a\\\\b"'],
    ["50%", "50%%"],
    ["$HOME", "$$HOME"],
    [";", '";"'],
    ["", '""'],
  ];
  for (const [word, written] of words) {
    const text = unitText({
      name: "desk",
      state: {},
      command: ["/bin/run", word],
      reserved: [],
    });
    assertStringIncludes(text, `ExecStart=/bin/run ${written} apply`);
  }
});

Deno.test("persist() writes files, and unpersist() removes exactly those", async () => {
  const rule = "/etc/udev/rules.d/10-passthru-desk.rules";
  const machine = bench({
    ...TOPOLOGY,
    files: { ...TOPOLOGY.files, [rule]: "# somebody's\n" },
  });
  const before = stateOf(machine);
  const host = newcomer(machine);
  const { unit, files } = await persist(host, STATE, "desk", { command });
  assertEquals(unit, "passthru-desk.service");
  assertEquals(files.length, 5);
  for (const path of files) assert(host.kernel.readFile(path) !== "");
  assertMatch(host.kernel.readFile(rule), /driver_override/);
  assertEquals(persisted(host), ["desk"]);
  // a persisted state is not applied, so restore() does nothing
  assertEquals(await status(host), []);
  assertEquals(await restore(host), { undone: [], left: [], damaged: [] });
  assertEquals(persisted(host), ["desk"]);
  assertEquals(await unpersist(host, "desk"), true);
  assertAsBefore(machine, before);
  assertEquals(await unpersist(host, "desk"), false);
});

Deno.test("persist() replaces a state of that name, and writes no file twice", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await persist(host, STATE, "desk", { command });
  const first = stateOf(machine);
  await persist(host, STATE, "desk", { command });
  assertEquals(stateOf(machine), first);
  const { files } = await persist(host, {}, "desk", { command });
  assertEquals(files.length, 3);
  await persist(host, {}, "other", { command });
  assertEquals(persisted(host), ["desk", "other"]);
  await unpersist(host, "other");
  await unpersist(host, "desk");
  assertAsBefore(machine, before);
});

Deno.test("persist() keeps the old state when the new one cannot be written", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const initial = stateOf(machine);
  await persist(host, {}, "desk", { command });
  const { kernel } = host;
  // A directory has the path of a file of the new state.
  const directories = [
    "/etc/udev",
    "/etc/udev/rules.d",
    "/etc/udev/rules.d/10-passthru-desk.rules",
  ];
  for (const path of directories) kernel.mkdir(path, 0o755);
  const before = stateOf(machine);
  const error = await assertRejects(
    () => persist(host, STATE, "desk", { command }),
    VfioError,
  );
  assertEquals(error.code, "NOT_SUPPORTED");
  assertStringIncludes(error.message, "10-passthru-desk.rules is no regular");
  assertEquals(stateOf(machine), before);
  assertEquals(persisted(host), ["desk"]);
  for (const path of directories.toReversed()) kernel.rmdir(path);
  await unpersist(host, "desk");
  assertAsBefore(machine, initial);
});

Deno.test("unpersist() keeps and reports a file when another process has changed it", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const { files } = await persist(host, {}, "desk", { command });
  host.kernel.writeFile(files[0]!, "{}\n# changed by hand\n");
  const error = await assertRejects(
    () => unpersist(host, "desk"),
    VfioError,
  );
  assertEquals(error.code, "RESTORE_INCOMPLETE");
  assertStringIncludes(error.message, files[0]!);
  assertEquals(host.kernel.readdir("/etc"), [
    "default",
    "hostname",
    "passthru",
  ]);
});

Deno.test("persist() throws before it writes when the input is bad", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  const inputs: [DesiredState, string, string[]][] = [
    [{}, "", command],
    [{}, "a/b", command],
    [{}, "-a", command],
    [{}, "desk", ["passthru"]],
    [{}, "desk", []],
    [{ functions: 5 } as unknown as DesiredState, "desk", command],
  ];
  for (const [state, name, command] of inputs) {
    await assertRejects(
      () => persist(host, state, name, { command }),
      TypeError,
    );
  }
  assertAsBefore(machine, before);
});

Deno.test("restore() undoes what was applied under one name", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  const taking = (select: string): DesiredState => ({
    functions: [{ select, driver: "vfio-pci" }],
  });
  await apply(host, taking(NIC), { name: "desk" });
  await apply(host, taking(DISK), { name: "other" });
  assertEquals((await restore(host, { name: "desk" })).undone.length, 1);
  assertEquals(host.function(NIC).driver, "e1000e");
  assertEquals((await status(host)).map(({ name }) => name), ["other"]);
  await restore(host);
  assertAsBefore(machine, before);
});

Deno.test("persist() warns of what other users than root can change of the command", async () => {
  const host = newcomer(bench());
  const { kernel } = host;
  for (const path of ["/usr", "/usr/bin", "/home", "/home/a", "/opt"]) {
    if (!exists(kernel, path)) kernel.mkdir(path, 0o755);
  }
  const put = (path: string) =>
    kernel.close(kernel.open(path, O_WRONLY | O_CREAT, 0o755));
  for (const path of ["/usr/bin/deno", "/home/a/x y.ts", "/opt/c.json"]) {
    put(path);
  }
  const warningsOf = async (...command: string[]) =>
    (await persist(host, {}, "desk", { command })).warnings;
  const fine = ["/usr/bin/deno", "run", "--config=/opt/c.json", "/none/at"];
  assertEquals(await warningsOf(...fine), []);
  chown(kernel, "/home/a", 1000, 1000);
  chmod(kernel, "/opt/c.json", 0o666);
  kernel.symlink("/home/a/x y.ts", "/usr/bin/x.ts");
  assertEquals(await warningsOf(...fine, "/usr/bin/x.ts"), [
    "other users may write to /opt/c.json",
    "/home/a belongs to user 1000, not to root",
  ]);
  assertEquals(await warningsOf("/usr/bin/deno", "file:///home/a/x%20y.ts"), [
    "/home/a belongs to user 1000, not to root",
  ]);
  chmod(kernel, "/usr/bin", 0o777);
  assertEquals(await warningsOf("/usr/bin/deno"), [
    "other users may write to /usr/bin",
  ]);
});
