import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { persist, unpersist } from "../../../lib/provision/boot/persist.ts";
import { forget } from "../../../lib/provision/forget.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { damagedJournals, restore } from "../../../lib/provision/restore.ts";
import { status } from "../../../lib/provision/status.ts";
import { O_CREAT, O_TRUNC, O_WRONLY } from "../../../lib/uapi/linux/fcntl.ts";
import { chmod, chown } from "../../kernels/by_path.ts";
import { refused } from "../../failures.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  journalsOf,
  LIMITS,
  newcomer,
  NIC,
  stateOf,
} from "../provision_bench.ts";
import { TAKE_DISK, TAKE_NIC, why } from "./take_steps.ts";

const JOURNAL = "/run/passthru/apply-1.jsonl";
const HEAD =
  '{"passthru":1,"uuid":"u","boot":"5d3dcf2e-9a45-4e1c-8f0b-6a1c58a3f0d7",' +
  '"pid":7,"process":"deno","at":"2026-11-22T16:31:59.200Z","name":"desk"}\n';

function put(kernel: Kernel, path: string, text: string): void {
  const fd = kernel.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
  kernel.write(fd, new TextEncoder().encode(text));
  kernel.close(fd);
}

/** Ways in which the text of a journal with one made step can be damaged. */
const DAMAGES: Record<string, [(text: string) => string, RegExp]> = {
  "NUL bytes": [(text) => text + "\0".repeat(20), /line 4 cannot be read/],
  "NUL bytes in a line": [
    (text) => text.replace('"made"', '"ma\0\0"'),
    /line 3 cannot be read/,
  ],
  "a bad line in the middle": [
    (text) => text.replace("\n", "\nx\n"),
    /line 2 cannot be read/,
  ],
  "a bad first step": [
    (text) => text.replace('"step":', '"step",'),
    /line 3 is about step 0, which was not begun/,
  ],
  "null": [(text) => `${text}null\n`, /line 4 is no record/],
  "null as the first line": [(text) => `null\n${text}`, /line 1 does not say/],
  "no first line": [
    (text) => text.slice(text.indexOf("\n") + 1),
    /line 1 does not say/,
  ],
  "an unknown kind of step": [
    (text) => text.replace('"kind":"driver"', '"kind":"toString"'),
    /line 2 is no record/,
  ],
  "a step without its device": [
    (text) => text.replace('"device":', '"devise":'),
    /line 2 is no record/,
  ],
  "a wrong index": [
    (text) => text.replace('"made":0', '"made":5'),
    /line 3 is about step 5, which was not begun/,
  ],
  "an index that is no number": [
    (text) => text.replace('"made":0', '"made":"0"'),
    /line 3 is no record/,
  ],
  "a step that is begun twice": [
    (text) => text + text.split("\n")[1] + "\n",
    /line 4 begins step 0 again/,
  ],
  "a byte order mark": [(text) => `\ufeff${text}`, /line 1 cannot be read/],
};

for (const [name, [damage, problem]] of Object.entries(DAMAGES)) {
  Deno.test(`restore() keeps and reports a damaged journal, and undoes the others, when it has ${name}`, async () => {
    const machine = bench();
    const host = newcomer(machine);
    await applySteps(host, [TAKE_NIC], { name: "desk" });
    await applySteps(host, [TAKE_DISK]);
    const text = damage(host.kernel.readFile(JOURNAL));
    put(host.kernel, JOURNAL, text);
    const { undone, left, damaged } = await restore(host);
    assertEquals(undone, [TAKE_DISK]);
    assertEquals(left, []);
    const [{ id, error }] = damaged as [typeof damaged[0]];
    assertEquals([id, error.code], ["apply-1", "JOURNAL_DAMAGED"]);
    assertMatch(error.problem, problem);
    assertStringIncludes(error.problem, JOURNAL);
    assertEquals(error.problem.includes("\n"), false);
    assertEquals(
      host.kernel.readFileBytes(JOURNAL),
      new TextEncoder().encode(text),
    );
    assertEquals(host.function(NIC).driver, "vfio-pci");
    assertEquals(damagedJournals(host).map(({ id }) => id), ["apply-1"]);
    assertEquals(await status(host), []);
  });
}

Deno.test("restore() reports a journal of a newer version, and undoes the others", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  await applySteps(host, [TAKE_DISK]);
  put(host.kernel, JOURNAL, '{"passthru":2}\n');
  const { undone, damaged } = await restore(host);
  assertEquals(undone, [TAKE_DISK]);
  assertEquals(damaged.map(({ error }) => error.code), ["NOT_SUPPORTED"]);
});

Deno.test("restore() refuses a journal that somebody else has put there, and undoes the others", async () => {
  const places: [string, (kernel: Kernel) => void, RegExp][] = [
    ["a link", (kernel) => {
      put(kernel, "/tmp/theirs", HEAD);
      kernel.symlink("/tmp/theirs", JOURNAL);
    }, /is a symbolic link/],
    ["a directory", (kernel) => kernel.mkdir(JOURNAL, 0o755), /no regular/],
    ["somebody else's", (kernel) => {
      put(kernel, JOURNAL, HEAD);
      chown(kernel, JOURNAL, 1000, 1000);
    }, /belongs to user 1000/],
    ["for all to write", (kernel) => {
      put(kernel, JOURNAL, HEAD);
      chmod(kernel, JOURNAL, 0o622);
    }, /other users may write/],
  ];
  for (const [name, place, problem] of places) {
    const machine = bench();
    const host = newcomer(machine);
    host.kernel.mkdir("/run/passthru", 0o755);
    place(host.kernel);
    await applySteps(host, [TAKE_DISK]);
    const { undone, damaged } = await restore(host);
    assertEquals(undone, [TAKE_DISK], name);
    const [{ error }] = damaged as [typeof damaged[0]];
    assertEquals(error.code, "JOURNAL_DAMAGED", name);
    assertMatch(error.problem, problem);
    assertStringIncludes(error.problem, JOURNAL);
  }
});

Deno.test("restore() of a name reports no damaged journal of another name", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC], { name: "desk" });
  await applySteps(host, [TAKE_DISK], { name: "spare" });
  put(host.kernel, JOURNAL, `${host.kernel.readFile(JOURNAL)}null\n`);
  assertEquals((await restore(host, { name: "spare" })).damaged, []);
  const { damaged } = await restore(host, { name: "desk" });
  assertEquals(damaged.map(({ id }) => id), ["apply-1"]);
});

Deno.test("restore() reports JOURNAL_DAMAGED for a step whose earlier state is damaged, and undoes the others", async () => {
  const machine = bench();
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  await applySteps(host, [TAKE_DISK]);
  const text = host.kernel.readFile(JOURNAL);
  put(host.kernel, JOURNAL, text.replace(/"before":\{.*?\}/, '"before":null'));
  const { undone, left } = await restore(host);
  assertEquals(undone, [TAKE_DISK]);
  const error = left[0]!.error as { code: string; problem: string };
  assertEquals(error.code, "JOURNAL_DAMAGED");
  assertStringIncludes(error.problem, "apply-1");
});

Deno.test("restore() accepts a journal with lines that were torn by a full disk", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  const [head, begin, made] = host.kernel.readFile(JOURNAL).split("\n");
  for (
    const lines of [
      [head!.slice(0, 20), head, "", begin, made!.slice(0, 5), made, ""],
      [head, begin, made, begin!.slice(0, 40)],
      [head, begin!.slice(0, 3), begin, ""],
    ]
  ) {
    put(host.kernel, JOURNAL, lines.join("\n"));
    const { undone, damaged } = await restore(host);
    assertEquals(damaged, []);
    assertEquals(undone, [TAKE_NIC]);
    assertAsBefore(machine, before);
    await applySteps(host, [TAKE_NIC]);
  }
});

Deno.test("forget() drops a journal, and nothing else", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const limits = { kind: "file", path: LIMITS, text: "x\n", why } as const;
  await applySteps(host, [TAKE_NIC, limits]);
  await applySteps(host, [TAKE_DISK]);
  put(host.kernel, JOURNAL, "garbage\n");
  assertEquals(await forget(host, "apply-1"), true);
  assertEquals(await forget(host, "apply-1"), false);
  assertEquals(journalsOf(machine), ["apply-2.jsonl"]);
  assertEquals(host.function(NIC).driver, "vfio-pci");
  assertEquals(host.kernel.readFile(LIMITS), "x\n");
  assertEquals((await restore(host)).damaged, []);
  assertEquals(host.function(DISK).driver, "nvme");
  host.kernel.symlink("/etc/hostname", JOURNAL);
  assertEquals(await forget(host, "apply-1"), true);
  assertEquals(host.kernel.readFile("/etc/hostname"), "host\n");
});

Deno.test("forget() throws a TypeError for what is no journal", async () => {
  for (const id of ["", "apply-", "../lock", "lock", "apply-1/..", "desk"]) {
    await assertRejects(() => forget(newcomer(bench()), id), TypeError);
  }
});

Deno.test("persist() and unpersist() throw JOURNAL_DAMAGED until forget() drops the journal", async () => {
  const machine = bench();
  const host = newcomer(machine);
  const options = { command: ["/usr/local/bin/passthru"] };
  await persist(host, {}, "desk", options);
  const path = "/var/lib/passthru/persist-desk.jsonl";
  put(host.kernel, path, "garbage\n");
  const error = await refused(
    "JOURNAL_DAMAGED",
    () => persist(host, {}, "desk", options),
  );
  assertStringIncludes(error.problem, path);
  assertStringIncludes(error.hint!, "passthru restore --forget persist-desk");
  await refused("JOURNAL_DAMAGED", () => unpersist(host, "desk"));
  assertEquals(await forget(host, "persist-desk"), true);
  assertEquals(await unpersist(host, "desk"), false);
});
