/**
 * A function for a container: podman reads the CDI specification that a state
 * has written, and a script in the container attaches the function.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname } from "@std/path";
import { emit } from "../../../lib/handoff/mod.ts";
import {
  apply,
  type DesiredState,
  restore,
} from "../../../lib/provision/mod.ts";
import { testUnless, whyNot } from "../../host/programs.ts";
import { addressOf, host } from "./setup.ts";

const CHECKOUT = new URL("../../../", import.meta.url).pathname;
const DENO_DIR = Deno.env.get("DENO_DIR")!;
const NOBODY = "65534";

const GIVEN = addressOf("edu0");
const OTHER = addressOf("edu1");
const KIND = "example.com/edu";
const SPECIFICATION = "/etc/cdi/guest.json";

const STATE: DesiredState = {
  functions: [GIVEN, OTHER].map((select) => ({ select, driver: "vfio-pci" })),
  handoff: [{ format: "cdi", path: SPECIFICATION, name: KIND }],
};

/** More than a process may lock by default. */
const MEMORY = 16 << 20;

/** Runs in the container. */
const SCRIPT = `
import { AddressSpace, VfioDevice } from "@passthru/vfio";
import { Edu } from "${import.meta.resolve("./edu.ts")}";

const [given, other] = Deno.args;
try {
  await using space = new AddressSpace();
  await using device = await VfioDevice.attach(given, space);
  const memory = space.allocate(${MEMORY}, { dmaMask: 0xfff_ffffn });
  const half = memory.bytes.subarray(${MEMORY / 2});
  memory.bytes.fill(0x5a, 0, 64);
  await new Edu(device).copy(memory.iova, memory.iova + ${MEMORY / 2}n, 64);
  console.log(half.subarray(0, 65).every((byte, i) => (byte === 0x5a) === (i < 64)));
  console.log(space.backend.backend);
  await VfioDevice.attach(other, space);
} catch ({ code, device, hint }) {
  console.log(code, device, hint);
}
`;

/** The system's programs and libraries, where they are in one folder. */
const MERGED = ["bin", "lib", "lib64"];

/** A container's files: this system's, Deno, and a script. */
async function makeRoot(root: string): Promise<string[]> {
  for (const name of ["dev", "etc", "proc", "sys", "tmp", "usr"]) {
    await Deno.mkdir(`${root}/${name}`, { recursive: true });
  }
  for (const name of MERGED) {
    await Deno.symlink(`usr/${name}`, `${root}/${name}`);
  }
  await Deno.writeTextFile(`${root}/script.ts`, SCRIPT);
  return ["/usr", dirname(Deno.execPath()), CHECKOUT, DENO_DIR]
    .flatMap((path) => ["--volume", `${path}:${path}:ro`]);
}

/** Runs the script in a container, as an ordinary user. */
async function runScript(
  folder: string,
  ...options: readonly string[]
): Promise<string[]> {
  const root = `${folder}/root`;
  const volumes = await makeRoot(root);
  const { code, stdout, stderr } = await new Deno.Command("podman", {
    args: [
      ...["--root", `${folder}/r`, "--runroot", `${folder}/rr`],
      ...["--tmpdir", `${folder}/t`, "--storage-driver", "vfs"],
      ...["--cgroup-manager", "cgroupfs", "--events-backend", "none"],
      ...["run", "--rm", "--network=none", "--user", NOBODY, ...volumes],
      ...["--env", `DENO_DIR=${DENO_DIR}`, "--env", "NO_COLOR=1"],
      ...["--device", `${KIND}=${GIVEN}`, ...options, "--rootfs", root],
      ...[Deno.execPath(), "run", "--no-check", "--no-lock", "--no-prompt"],
      ...["--config", `${CHECKOUT}deno.offline.json`, "--allow-ffi"],
      ...["/script.ts", GIVEN, OTHER],
    ],
  }).output();
  const [out, messages] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  assertEquals(code, 0, messages);
  await Deno.remove(root, { recursive: true });
  return out!.trimEnd().split("\n");
}

/** The hierarchy of control groups, which lets a container open its nodes. */
function mountControlGroups(): Disposable {
  const path = "/sys/fs/cgroup";
  const run = (program: string, ...args: string[]) =>
    assert(new Deno.Command(program, { args }).outputSync().success, program);
  run("mount", "-t", "cgroup2", "none", path);
  return { [Symbol.dispose]: () => run("umount", path) };
}

testUnless(
  whyNot("podman"),
  "podman gives a container by CDI a function that a script attaches as an ordinary user, with the limit that emit() tells",
  async (folder) => {
    using _ = mountControlGroups();
    await apply(host, STATE);
    const { notes } = emit("cdi", [host.function(GIVEN)], { name: KIND });
    const told = /--ulimit \S+$/.exec(notes[0]!)![0].split(" ");

    const [refused] = await runScript(folder);
    assertStringIncludes(refused!, `MEMLOCK_LIMIT`);
    assertStringIncludes(refused!, "--ulimit memlock");
    const [copied, backend, otherwise] = await runScript(folder, ...told);
    assertEquals([copied, backend], ["true", "legacy"]);
    // The node of the other function's group is not in the container.
    assertStringIncludes(otherwise!, `BACKEND_UNAVAILABLE ${OTHER}`);

    await restore(host);
    assertEquals(host.function(GIVEN).driver, undefined);
  },
);
