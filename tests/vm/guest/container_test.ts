/**
 * A container of podman that is given a device by CDI, in which a script of an
 * ordinary user attaches it.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { emit } from "../../../lib/handoff/mod.ts";
import { onPath } from "../../host/programs.ts";
import { CHECKOUT } from "../guest.ts";
import { addressOf, machine, Setup } from "./setup.ts";

/** The kernel's other name for its own user, without any right. */
const UID = 65534;

const missing = ["podman", "runc"].find((name) => !onPath(name));
// The testbed has no cgroups of devices.
const reason = missing !== undefined
  ? `${missing} is not installed`
  : machine.kernel === "testbed"
  ? "this kernel has no cgroups for containers"
  : undefined;

/** Runs a program, and returns what it wrote and its code. */
async function run(
  program: string,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** The root of a container: this machine's programs, and nothing else of it. */
async function makeRoot(folder: string): Promise<void> {
  for (const name of ["dev", "proc", "sys", "tmp", "etc", "usr"]) {
    await Deno.mkdir(`${folder}/${name}`, { recursive: true });
  }
  for (const name of ["bin", "lib", "lib64"]) {
    await Deno.symlink(`usr/${name}`, `${folder}/${name}`);
  }
}

Deno.test({
  name: "a script in a container attaches the device that CDI gives it" +
    (reason === undefined ? "" : ` (skipped: ${reason})`),
  ignore: reason !== undefined,
  async fn() {
    const backend = machine.backends[0]!;
    await using setup = new Setup(backend);
    const edu = await setup.take("edu0");
    const { text, notes } = emit("cdi", [edu], {
      name: "example.com/edu",
      iommufd: backend === "iommufd",
    });
    await Deno.mkdir("/etc/cdi", { recursive: true });
    await Deno.writeTextFile("/etc/cdi/edu.json", text);
    const [, limit] = /--ulimit (\S+)/.exec(notes.join())!;
    await run("mount", "-t", "cgroup2", "none", "/sys/fs/cgroup");
    const folder = await Deno.makeTempDir();
    await Deno.chmod(folder, 0o755);
    await makeRoot(`${folder}/root`);
    const script = `${folder}/root/attach.ts`;
    await Deno.writeTextFile(
      script,
      `import { AddressSpace, VfioDevice } from "${
        new URL("../../../mod.ts", import.meta.url).href
      }";
await using space = new AddressSpace({ backend: "${backend}" });
await using device = await VfioDevice.attach("${addressOf("edu0")}", space);
const memory = space.allocate(1 << 20);
console.log(device.name, memory.bytes.length, Deno.uid());
`,
    );
    const deno = Deno.execPath();
    const cache = Deno.env.get("DENO_DIR")!;
    const inContainer = (...device: readonly string[]) =>
      run(
        "podman",
        ...["--root", `${folder}/r`, "--runroot", `${folder}/rr`],
        ...["--tmpdir", `${folder}/t`, "--storage-driver", "vfs"],
        ...["--cgroup-manager", "cgroupfs", "--events-backend", "none"],
        ...["run", "--rm", "--network=none", "--runtime", "runc"],
        ...["--user", String(UID), "--cap-drop", "all", ...device],
        ...["--volume", "/usr:/usr:ro"],
        ...[CHECKOUT, deno, cache].flatMap((path) => [
          ...["--volume", `${path}:${path}:ro`],
        ]),
        ...["--env", `DENO_DIR=${cache}`],
        ...["--rootfs", `${folder}/root`],
        ...[deno, "run", "--no-check", "--no-lock", "--no-config"],
        ...["--no-prompt", "--allow-ffi", "--allow-sys=uid", "/attach.ts"],
      );
    const attached = await inContainer(
      ...["--device", `example.com/edu=${addressOf("edu0")}`],
      ...["--ulimit", limit!],
    );
    assertEquals(attached.code, 0, attached.out);
    assertStringIncludes(attached.out, `${addressOf("edu0")} 1048576 ${UID}\n`);
  },
});
