import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import type { Step } from "../../../lib/provision/steps/step.ts";
import {
  O_ACCMODE,
  O_CREAT,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
} from "../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../failures.ts";
import {
  assertAsBefore,
  bench,
  LIMITS,
  newcomer,
  stateOf,
} from "../provision_bench.ts";
import { TAKE_DISK, TAKE_NIC, why } from "./take_steps.ts";

const PATH = "/etc/modules.conf";
const STEP: Step = { kind: "file", path: PATH, text: "vfio-pci\n", why };

function put(kernel: Kernel, path: string, bytes: Uint8Array): void {
  const fd = kernel.open(path, O_WRONLY | O_CREAT | O_TRUNC);
  kernel.write(fd, bytes);
  kernel.close(fd);
}

Deno.test("restore() brings a file back byte by byte", async () => {
  const text = new TextEncoder();
  const contents: Record<string, Uint8Array> = {
    "a byte order mark and Latin-1": Uint8Array.fromHex(
      "efbbbf23204dfc6c6c65720a",
    ),
    "a byte order mark": text.encode("\ufeff# options\n"),
    "Latin-1": Uint8Array.fromHex("23204dfc6c6c65720a"),
    "every byte": Uint8Array.from({ length: 256 }, (_, i) => i),
    "a character that is cut": text.encode("ü").subarray(0, 1),
    "UTF-8": text.encode("# Müller €\0\n"),
    "nothing": new Uint8Array(),
  };
  for (const [name, bytes] of Object.entries(contents)) {
    const host = newcomer(bench());
    put(host.kernel, PATH, bytes);
    await applySteps(host, [STEP]);
    assertEquals(host.kernel.readFile(PATH), "vfio-pci\n");
    const { undone, left } = await restore(host);
    assertEquals([undone.length, left.length], [1, 0], name);
    assertEquals(host.kernel.readFileBytes(PATH).toHex(), bytes.toHex(), name);
  }
});

Deno.test("applySteps() makes a file again when only its bytes differ", async () => {
  const host = newcomer(bench());
  // Decoded as text, both are the same.
  put(host.kernel, PATH, Uint8Array.fromHex("ff0a"));
  const step: Step = { ...STEP, kind: "file", text: "\ufffd\n" };
  assertEquals((await applySteps(host, [step])).steps.length, 1);
  assertEquals(host.kernel.readFileBytes(PATH).toHex(), "efbfbd0a");
  const marked: Step = { ...STEP, kind: "file", text: "\ufeffx\n" };
  assertEquals((await applySteps(host, [marked])).steps.length, 1);
  assertEquals((await applySteps(host, [marked])).steps.length, 0);
});

Deno.test("restore() reads a file's text in a journal of an earlier version", async () => {
  const machine = bench();
  const host = newcomer(machine);
  put(host.kernel, PATH, new TextEncoder().encode("# Müller\n"));
  const before = stateOf(machine);
  await applySteps(host, [STEP]);
  const journal = "/var/lib/passthru/apply-1.jsonl";
  assertMatch(host.kernel.readFile(journal), /"entry":\{"text":"# Müller\\n"/);
  assertEquals((await restore(host)).left, []);
  assertAsBefore(machine, before);
});

/** A system on which some paths are on a file system that is read-only. */
function readOnly(kernel: Kernel, pattern: RegExp): Kernel {
  return intercept(kernel, ({ method, args }, proceed) => {
    const path = args.find((each) => typeof each === "string") as string;
    const changes = method === "open"
      ? (Number(args[1]) & (O_ACCMODE | O_CREAT)) !== O_RDONLY
      : /^(?:mkdir|rmdir|unlink|rename|symlink)$/.test(method);
    if (changes && pattern.test(path)) {
      throw new KernelError(errnoNumber("EROFS"), method, path);
    }
    return proceed();
  });
}

Deno.test("applySteps() says that nothing is changed, and names the file, when its file system is read-only", async () => {
  for (const path of [PATH, LIMITS]) {
    const machine = bench();
    const before = stateOf(machine);
    const kernel = readOnly(machine.spawn(), /^\/etc\//);
    const error = await refused(
      "PERMISSION_DENIED",
      () => applySteps(new Host({ kernel }), [{ ...STEP, path } as Step]),
    );
    assertStringIncludes(error.problem, path);
    assertStringIncludes(error.problem, "EROFS");
    assertStringIncludes(error.problem, "nothing is changed");
    assertStringIncludes(error.hint!, "read-only");
    assertAsBefore(machine, before);
  }
});

Deno.test("applySteps() undoes the other steps when a file system is read-only", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const kernel = readOnly(machine.spawn(), /^\/etc\//);
  const error = await refused(
    "PERMISSION_DENIED",
    () => applySteps(new Host({ kernel }), [TAKE_DISK, STEP]),
  );
  assertStringIncludes(error.problem, "all earlier changes are undone");
  assertAsBefore(machine, before);
});

Deno.test("applySteps() names the file that cannot be written when the disk is full", async () => {
  const full = (kernel: Kernel, pattern: RegExp) => {
    const open = new Set<unknown>();
    return intercept(kernel, ({ method, args }, proceed) => {
      if (method === "write" && open.has(args[0])) {
        throw new KernelError(errnoNumber("ENOSPC"), method);
      }
      const result = proceed();
      if (method === "open" && pattern.test(String(args[0]))) open.add(result);
      if (method === "close") open.delete(args[0]);
      return result;
    });
  };
  const cases: [RegExp, Step, string][] = [
    [/^\/etc\//, STEP, PATH],
    [/^\/var\//, STEP, "/var/lib/passthru/apply-1.jsonl"],
    [/^\/run\/.*jsonl/, TAKE_NIC, "/run/passthru/apply-1.jsonl"],
  ];
  for (const [pattern, step, path] of cases) {
    const machine = bench();
    const before = stateOf(machine);
    const kernel = full(machine.spawn(), pattern);
    const error = await refused(
      "KERNEL",
      () => applySteps(new Host({ kernel }), [step]),
    );
    assertStringIncludes(error.problem, `${path}: write: ENOSPC`);
    assertStringIncludes(error.problem, "nothing is changed");
    assertStringIncludes(error.hint!, "full");
    assertAsBefore(machine, before);
  }
});
