import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { accelerator, findAccelerator, setAccelerator } from "./accelerator.ts";
import { MachineError } from "./errors.ts";
import { INSTALLED_QEMU, type Qemu } from "./newer_qemu.ts";

/** Stands in for KVM's node: everybody may open it. */
const NODE = "/dev/null";

/** How a guest ends by itself. */
const ENDED = "exit 33";
/** A guest that never ends. */
const HANGS = "exec sleep 600";

/** A program in place of QEMU, and a cache that is empty. */
class Fake implements Disposable {
  readonly #dir = Deno.makeTempDirSync();
  readonly #cache = Deno.env.get("XDG_CACHE_HOME");
  readonly qemu: Qemu = { program: `${this.#dir}/qemu`, args: [] };

  /** What a guest does under KVM and by emulation, as shell commands. */
  constructor({ kvm, tcg }: { kvm: string; tcg: string }) {
    Deno.writeTextFileSync(
      this.qemu.program,
      `#!/bin/sh
       case "$*" in
         --version) echo version 0; exit ;;
       esac
       echo "$$" >> ${this.#dir}/startedPids
       case "$*" in
         *"-accel kvm"*) ${kvm} ;;
         *) ${tcg} ;;
       esac`,
      { mode: 0o755 },
    );
    Deno.env.set("XDG_CACHE_HOME", this.#dir);
  }

  /** Returns the processes that were started to run a guest. */
  startedPids(): string[] {
    const text = Deno.readTextFileSync(`${this.#dir}/startedPids`);
    return text.trimEnd().split("\n");
  }

  [Symbol.dispose](): void {
    if (this.#cache === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", this.#cache);
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

function assertGone(pids: readonly string[]): void {
  for (const pid of pids) {
    let left = true;
    try {
      Deno.statSync(`/proc/${pid}`);
    } catch {
      left = false;
    }
    assert(!left, `process ${pid} is still there`);
  }
}

Deno.test("findAccelerator() finds KVM when the guest under KVM ends first", async () => {
  using fake = new Fake({ kvm: ENDED, tcg: HANGS });
  const found = await findAccelerator(fake.qemu, NODE);
  assertEquals(found.accelerator, "kvm");
  assertGone(fake.startedPids());
});

Deno.test("findAccelerator() finds emulation when a guest under KVM never ends", async () => {
  using fake = new Fake({ kvm: HANGS, tcg: ENDED });
  const found = await findAccelerator(fake.qemu, NODE);
  assertEquals(found.accelerator, "tcg");
  assertStringIncludes(found.why, "slower under KVM");
  assertGone(fake.startedPids());
});

Deno.test("findAccelerator() runs one race when that has a winner", async () => {
  for (const [kvm, tcg] of [[ENDED, HANGS], [HANGS, ENDED]] as const) {
    using fake = new Fake({ kvm, tcg });
    const first = await findAccelerator(fake.qemu, NODE);
    const startedPids = fake.startedPids();
    assertEquals(await findAccelerator(fake.qemu, NODE), first);
    assertEquals(fake.startedPids(), startedPids);
  }
});

Deno.test("findAccelerator() gives QEMU's message, and races again, when KVM is refused", async () => {
  using fake = new Fake({ kvm: "echo no KVM today >&2; exit 1", tcg: HANGS });
  const { accelerator, why } = await findAccelerator(fake.qemu, NODE);
  assertEquals(accelerator, "tcg");
  assertStringIncludes(why, "no KVM today");
  const startedPids = fake.startedPids().length;
  await findAccelerator(fake.qemu, NODE);
  assert(fake.startedPids().length > startedPids);
});

Deno.test("findAccelerator() finds KVM when this QEMU cannot emulate", async () => {
  using fake = new Fake({ kvm: `sleep 1; ${ENDED}`, tcg: "exit 1" });
  const found = await findAccelerator(fake.qemu, NODE);
  assertEquals(found.accelerator, "kvm");
});

Deno.test("findAccelerator() starts no QEMU when there is no KVM", async () => {
  const qemu = { program: "/nonexistent/qemu", args: [] };
  const found = await findAccelerator(qemu, "/nonexistent/kvm");
  assertEquals(found.accelerator, "tcg");
  assertStringIncludes(found.why, "there is no /nonexistent/kvm");
});

Deno.test("findAccelerator() finds an accelerator when QEMU is this machine's own", async () => {
  using _ = new Fake({ kvm: HANGS, tcg: HANGS });
  const first = await findAccelerator(INSTALLED_QEMU);
  // A very busy machine may find none that lasts.
  const second = first.lasting && await findAccelerator(INSTALLED_QEMU);
  if (second) assertEquals(second, first);
});

Deno.test("setAccelerator() decides when a race would decide otherwise", async () => {
  setAccelerator("tcg");
  try {
    assertEquals(await accelerator(), "tcg");
  } finally {
    setAccelerator(undefined);
  }
});

Deno.test("setAccelerator() names the accelerators when the name is another", () => {
  let message = "";
  try {
    setAccelerator("xen");
  } catch (error) {
    assert(error instanceof MachineError);
    message = error.message;
  }
  assertEquals(message, '--accel is kvm or tcg, not "xen"');
});
