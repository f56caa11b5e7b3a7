/**
 * Functions for a QEMU that runs in the guest, up to the firmware of its
 * virtual machine.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { refused } from "../../failures.ts";
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import {
  type QemuRun,
  type QemuWay,
  runQemu,
} from "../../../scripts/passthru/run/qemu.ts";
import { restore } from "../../../lib/provision/mod.ts";
import { nodePaths } from "../../../lib/host/iommu/nodes.ts";
import { openers } from "../../../lib/host/openers.ts";
import { guestQemu } from "../machine_env.ts";
import { descriptors } from "./observe.ts";
import { addressOf, host, machine } from "./setup.ts";
import { until } from "./until.ts";

const NOBODY = "65534";

/** The functions that are handed over, and the ids that firmware must see. */
const FUNCTIONS = { nvme0: "1b36:0010", e1000e0: "8086:10d3" };

const NAMES = Object.keys(FUNCTIONS);

/** The nodes that QEMU would open. In these tests only root may open them. */
const SHARED_NODES = ["/dev/iommu", "/dev/vfio/vfio"];

const qemu = guestQemu()!;

/** How a QEMU ended. */
interface Outcome {
  readonly code: number;
  /** The output of its machine's firmware. */
  readonly firmware: string;
  /** QEMU's standard error. */
  readonly messages: string;
}

/** The files that a QEMU writes to. */
class Output implements Disposable {
  readonly #dir = Deno.makeTempDirSync();
  readonly stderr = openSync(`${this.#dir}/messages`, "w");

  constructor() {
    Deno.chmodSync(this.#dir, 0o777);
  }

  /** The arguments with which SeaBIOS writes its log. */
  get args(): string[] {
    return [
      ...["-chardev", `file,id=log,path=${this.#dir}/firmware`],
      ...["-device", "isa-debugcon,iobase=0x402,chardev=log"],
    ];
  }

  read(name: "firmware" | "messages"): string {
    try {
      return Deno.readTextFileSync(`${this.#dir}/${name}`);
    } catch {
      return ""; // QEMU has not started it
    }
  }

  /** Waits until the firmware has written a text. */
  async until(text: string): Promise<void> {
    await until(
      () => this.read("firmware").includes(text),
      `"${text}" of the firmware`,
    ).catch((cause) => {
      throw new Error(this.read("messages"), { cause });
    });
  }

  [Symbol.dispose](): void {
    closeSync(this.stderr);
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

/** A small machine. It ends by itself when it finds nothing to boot. */
const MACHINE = [
  ...["-machine", "q35", "-accel", "tcg", "-m", "64"],
  ...["-nodefaults", "-display", "none", "-no-reboot"],
];
const END = ["-boot", "reboot-timeout=0"];

/** Runs QEMU with functions, by their names or paths, to its end. */
async function start(
  names: readonly string[],
  run: Partial<QemuRun>,
  output = new Output(),
): Promise<Outcome> {
  using _ = output;
  const code = await runQemu({
    host,
    devices: names.map((name) => name.startsWith("/") ? name : addressOf(name)),
    program: qemu.program,
    stderr: output.stderr,
    ...run,
    args: [...qemu.args, ...MACHINE, ...output.args, ...run.args ?? END],
  });
  return {
    code,
    firmware: output.read("firmware"),
    messages: output.read("messages"),
  };
}

/** The parts of the host's state that a run could change. */
function state() {
  return {
    drivers: NAMES.map((name) => {
      const { driver, driverOverride } = host.function(addressOf(name));
      return { driver, driverOverride };
    }),
    nodes: ["/dev/vfio", "/dev/vfio/devices"].map((path) => {
      try {
        return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
      } catch {
        return []; // this kernel has none
      }
    }),
    descriptors: descriptors(),
  };
}

/** Lets only root open the shared nodes. */
function closeNodes(): Disposable {
  const stack = new DisposableStack();
  for (const path of SHARED_NODES) {
    const { mode } = Deno.statSync(path);
    Deno.chmodSync(path, 0o600);
    stack.defer(() => Deno.chmodSync(path, mode! & 0o777));
  }
  return stack;
}

/** Asserts that a process has no rights beyond those of an ordinary user. */
function assertOrdinary(pid: number): void {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  for (const name of ["Uid", "Gid"]) {
    assertMatch(status, new RegExp(`^${name}:(\\t${NOBODY}){4}$`, "m"));
  }
  assertMatch(status, /^Groups:\s*$/m);
  for (const name of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) {
    assertMatch(status, new RegExp(`^${name}:\\t0+$`, "m"));
  }
}

function assertSeen({ code, firmware, messages }: Outcome): void {
  assertEquals(code, 0, messages);
  for (const id of Object.values(FUNCTIONS)) {
    assertMatch(firmware, new RegExp(`^PCI: init bdf=.* id=${id}$`, "m"));
  }
}

/** The ways that this machine has, each with its user. */
const WAYS: ReadonlyArray<readonly [by: QemuWay, user?: string]> = [
  ...machine.backends.includes("legacy") ? [["legacy"] as const] : [],
  ...machine.backends.includes("iommufd")
    ? [["iommufd"] as const, ["fds", NOBODY] as const]
    : [],
];

for (const [by, user] of WAYS) {
  Deno.test(`runQemu() by ${by} shows QEMU's firmware the functions, and gives them back`, async () => {
    using _ = user === undefined ? undefined : closeNodes();
    const before = state();
    const nvme0 = addressOf("nvme0");
    const notes: string[] = [];
    const note = (line: string) => notes.push(line);
    const outcome = await start(NAMES, { by, user, note });
    assertSeen(outcome);
    assertEquals(state(), before);
    assertStringIncludes(notes.join("\n"), `${nvme0}: driver vfio-pci (made)`);
    assertEquals(notes.at(-1), "QEMU ended with 0");
  });
}

if (machine.backends.includes("iommufd")) {
  for (const by of ["legacy", "iommufd"] as const) {
    Deno.test(`runQemu() by ${by} ends with QEMU's refusal when the user has no nodes`, async () => {
      using _ = closeNodes();
      const before = state();
      const { code, firmware, messages } = await start(
        NAMES,
        { by, user: NOBODY },
      );
      assertEquals(code, 1);
      assertEquals(firmware, "");
      assertMatch(messages, /Permission denied|Failed to open|Could not open/);
      assertEquals(state(), before);
    });
  }

  Deno.test("runQemu() limits the memory that QEMU locks when it runs as a user", async () => {
    const { code, messages } = await start(
      ["nvme0"],
      { user: NOBODY, memoryLock: 32n << 20n },
    );
    assertEquals(code, 1);
    assertMatch(messages, /Cannot allocate memory/);
  });

  Deno.test("runQemu() passes SIGTERM to QEMU, and gives the functions back when that ends", async () => {
    const before = state();
    const output = new Output();
    const running = start(NAMES, { user: NOBODY, args: [] }, output);
    await output.until("No bootable device");
    Deno.kill(Deno.pid, "SIGTERM");
    const { messages } = await running;
    assertStringIncludes(messages, "terminating on signal 15");
    assertEquals(state(), before);
  });

  Deno.test("restore() gives the functions back when passthru qemu was killed", async () => {
    using output = new Output();
    using _ = closeNodes();
    const before = state();
    const passthru = spawn(Deno.execPath(), [
      ...["run", "-A", "--no-check", "--no-lock"],
      ...["--config", "deno.offline.json", "scripts/passthru.ts", "qemu"],
      ...[...NAMES.map(addressOf), "--user", NOBODY],
      ...["--program", qemu.program, "--"],
      ...[...qemu.args, ...MACHINE, ...output.args],
    ], { stdio: ["ignore", "ignore", output.stderr] });
    const ended = new Promise((resolve) => passthru.once("exit", resolve));
    await Promise.race([ended, output.until("No bootable device")]);
    assertEquals(passthru.exitCode, null, output.read("messages"));
    passthru.kill("SIGKILL");
    await ended;
    // QEMU goes on, and so does its machine.
    const found = openers(host.kernel, ["/dev/iommu"]);
    assertEquals(found.length, 1);
    const { pid } = found[0]!;
    assertOrdinary(pid);
    for (const name of NAMES) {
      const fn = host.function(addressOf(name));
      assertEquals(fn.driver, "vfio-pci");
      for (const node of nodePaths([fn])) {
        assertEquals(Deno.statSync(node).mode! & 0o777, 0o600, node);
        assertEquals(Deno.statSync(node).uid, 0, node);
      }
    }
    Deno.kill(pid, "SIGKILL");
    const { left } = await restore(host);
    assertEquals(left, []);
    assertEquals(state(), before);
  });

  Deno.test("runQemu() hands over a mediated device by each way that QEMU supports", async () => {
    using mediated = makeMediated();
    for (const by of ["legacy", "iommufd"] as const) {
      const { code, firmware, messages } = await start([mediated.path], { by });
      assertEquals(code, 0, messages);
      assertStringIncludes(firmware, "id=4348:3253");
    }
    await refused("NOT_SUPPORTED", () => start([mediated.path], { by: "fds" }));
  });
}

if (machine.backends.length > 0) {
  Deno.test("runQemu() names the function in the way when a group is not viable", async () => {
    const error = await refused(
      "GROUP_NOT_VIABLE",
      () => start(["mixed1"], { by: "legacy" }),
    );
    assertStringIncludes(error.message, addressOf("mixed0"));
    assertEquals(host.function(addressOf("mixed1")).driver, undefined);
  });
}

/** Makes a serial port of the kernel's mtty sample. */
function makeMediated(): Disposable & { readonly path: string } {
  for (const module of ["mdev", "mtty"]) {
    new Deno.Command("modprobe", { args: [module] }).outputSync();
  }
  const uuid = crypto.randomUUID();
  const parent = "/sys/devices/virtual/mtty/mtty/mdev_supported_types/mtty-1";
  Deno.writeTextFileSync(`${parent}/create`, uuid);
  const path = `/sys/bus/mdev/devices/${uuid}`;
  return {
    path,
    [Symbol.dispose]: () => Deno.writeTextFileSync(`${path}/remove`, "1"),
  };
}
