import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { FileStatus } from "../../../lib/kernel/kernel.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { restore } from "../../../lib/provision/restore.ts";
import {
  LOCK_EX,
  LOCK_NB,
  O_CREAT,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
} from "../../../lib/uapi/linux/fcntl.ts";
import { S_IFMT } from "../../../lib/uapi/linux/statx.ts";
import { chmod, chown } from "../../kernels/by_path.ts";
import { refused } from "../../failures.ts";
import {
  assertAsBefore,
  bench,
  DISK,
  newcomer,
  NIC,
  stateOf,
} from "../provision_bench.ts";
import { lettingGoAfter, TAKE_DISK, TAKE_NIC } from "./take_steps.ts";

Deno.test("applySteps() throws LOCKED when another process changes the host for longer than the time limit", async () => {
  const machine = bench();
  const first = machine.spawn({ name: "first" });
  const { promise, resolve } = Promise.withResolvers<void>();
  const slow = lettingGoAfter(first, promise);
  const applying = applySteps(new Host({ kernel: slow }), [TAKE_DISK]);
  const host = newcomer(machine);
  const error = await refused(
    "LOCKED",
    () => applySteps(host, [TAKE_NIC], { timeout: 50 }),
  );
  assertStringIncludes(error.message, `first (process ${first.pid})`);
  await refused("LOCKED", () => restore(host, { timeout: 50 }));
  assertEquals(host.function(NIC).driver, "e1000e");
  const waiting = applySteps(host, [TAKE_NIC]);
  resolve();
  assertEquals((await applying).steps, [TAKE_DISK]);
  assertEquals((await waiting).steps, [TAKE_NIC]);
});

Deno.test("applySteps() throws LOCKED when it may not read which process changes the host", async () => {
  for (
    const [pattern, named] of [
      [/^\/proc\/\d+\/comm$/, /by process \d+/],
      [/^\/proc\/\d+\/fdinfo\/\d+$/, /by another process/],
    ] as const
  ) {
    const machine = bench();
    const { promise, resolve } = Promise.withResolvers<void>();
    const slow = lettingGoAfter(machine.spawn({ name: "first" }), promise);
    const applying = applySteps(new Host({ kernel: slow }), [TAKE_DISK]);
    const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
      if (method !== "readFile" || !pattern.test(String(args[0]))) {
        return proceed();
      }
      throw new KernelError(errnoNumber("EACCES"), "open", String(args[0]));
    });
    const error = await refused(
      "LOCKED",
      () => applySteps(new Host({ kernel }), [TAKE_NIC], { timeout: 50 }),
    );
    assertMatch(error.message, named);
    resolve();
    await applying;
  }
});

Deno.test("applySteps() gets the lock when the process that had it was killed", async () => {
  const machine = bench();
  const first = machine.spawn({ name: "first" });
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const dead = Promise.withResolvers<void>();
  const hung = intercept(first, ({ method, args }, proceed) => {
    if (method !== "writeFileAsync" || !String(args[0]).endsWith("/bind")) {
      return proceed();
    }
    resolve();
    return dead.promise;
  });
  const applying = applySteps(new Host({ kernel: hung }), [TAKE_DISK]);
  await reached;
  first.exit();
  const start = performance.now();
  const { left } = await restore(newcomer(machine));
  assertEquals(performance.now() - start, 0);
  assertEquals(left, []);
  assertEquals(newcomer(machine).function(DISK).driver, "nvme");
  dead.reject(new Error("killed"));
  await assertRejects(() => applying);
});

Deno.test("restore() waits for a write when a killed process has left it to its child", async () => {
  const machine = bench();
  const before = stateOf(machine);
  const host = newcomer(machine);
  await applySteps(host, [TAKE_NIC]);
  let child: string | undefined = "/sys/bus/pci/drivers/vfio-pci/unbind";
  const kernel = intercept(
    machine.spawn(),
    ({ method, args }, proceed) =>
      method === "readlink" && /^\/proc\/1\/fd\/0$/.test(String(args[0])) &&
        child !== undefined
        ? child
        : proceed(),
  );
  setTimeout(() => {
    host.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", NIC);
    child = undefined;
  }, 30);
  assertEquals((await restore(new Host({ kernel }))).left, []);
  assertEquals(child, undefined);
  assertAsBefore(machine, before);
});

const LOCK = "/run/passthru/lock";

Deno.test("applySteps() makes a lock that no other user can open", async () => {
  const machine = bench();
  await applySteps(newcomer(machine), [TAKE_NIC]);
  const mallory = machine.spawn({ name: "mallory", uid: 1000 });
  assertEquals(mallory.stat(LOCK).mode & 0o7777, 0o600);
  const error = assertThrows(() => mallory.open(LOCK, O_RDONLY), KernelError);
  assertEquals(error.code, "EACCES");
});

Deno.test("applySteps() repairs the mode of a lock of an earlier version", async () => {
  const machine = bench();
  const { kernel } = newcomer(machine);
  kernel.mkdir("/run/passthru", 0o755);
  kernel.close(kernel.open(LOCK, O_WRONLY | O_CREAT, 0o644));
  await applySteps(newcomer(machine), [TAKE_NIC]);
  assertEquals(kernel.stat(LOCK).mode & 0o7777, 0o600);
});

Deno.test("applySteps() names the process that holds the lock, and no other that has it open", async () => {
  const machine = bench();
  const { kernel } = newcomer(machine);
  kernel.mkdir("/run/passthru", 0o755);
  kernel.close(kernel.open(LOCK, O_WRONLY | O_CREAT, 0o644));
  // Earlier versions wrote the process that had the lock into it.
  kernel.writeFile(LOCK, "1\n");
  machine.spawn({ name: "waits" }).open(LOCK, O_RDONLY);
  const mallory = machine.spawn({ name: "mallory", uid: 1000 });
  mallory.flock(mallory.open(LOCK, O_RDONLY), LOCK_EX | LOCK_NB);
  const error = await refused(
    "LOCKED",
    () => applySteps(newcomer(machine), [TAKE_NIC], { timeout: 50 }),
  );
  assertStringIncludes(
    error.message,
    `is being changed by mallory (process ${mallory.pid})`,
  );
});

Deno.test("applySteps() throws PERMISSION_DENIED when something else is in the place of the lock", async () => {
  const cases: [string, (host: Host) => void, RegExp][] = [
    ["a link", ({ kernel }) => kernel.symlink("/etc/hostname", LOCK), /link/],
    ["a directory", ({ kernel }) => kernel.mkdir(LOCK, 0o755), /no regular/],
    ["somebody else's", ({ kernel }) => {
      kernel.close(kernel.open(LOCK, O_WRONLY | O_CREAT));
      chown(kernel, LOCK, 1000, 1000);
    }, /belongs to user 1000/],
    ["for all to write", ({ kernel }) => {
      kernel.close(kernel.open(LOCK, O_WRONLY | O_CREAT));
      chmod(kernel, LOCK, 0o666);
    }, /other users may write/],
    ["a directory of somebody else's", ({ kernel }) => {
      chown(kernel, "/run/passthru", 1000, 1000);
    }, /passthru belongs to user 1000/],
    ["a directory for all to write", ({ kernel }) => {
      chmod(kernel, "/run/passthru", 0o777);
    }, /passthru is a directory that other users may write/],
  ];
  for (const [name, put, problem] of cases) {
    const machine = bench();
    const before = stateOf(machine);
    const host = newcomer(machine);
    host.kernel.mkdir("/run/passthru", 0o755);
    put(host);
    const error = await refused(
      "PERMISSION_DENIED",
      () => applySteps(host, [TAKE_NIC]),
    );
    assertMatch(error.problem, problem, name);
    assertStringIncludes(error.problem, "/run/passthru");
    assertAsBefore(machine, before);
  }
});

Deno.test("applySteps() does not wait for a FIFO in the place of the lock", async () => {
  const machine = bench();
  let isOpen = false;
  const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
    if (method === "open" && args[0] === LOCK) {
      isOpen = true;
      assertEquals(Number(args[1]) & O_NONBLOCK, O_NONBLOCK);
    } else if (method === "fstat" && isOpen) {
      const status = proceed() as FileStatus;
      return { ...status, mode: status.mode & ~S_IFMT | 0o010000 };
    }
    return proceed();
  });
  const error = await refused(
    "PERMISSION_DENIED",
    () => applySteps(new Host({ kernel }), [TAKE_NIC]),
  );
  assertStringIncludes(error.problem, `${LOCK} is no regular file`);
});

Deno.test("restore() keeps a driver step while a process still unbinds from that driver, and brings the function back after that", async () => {
  const machine = bench();
  const before = stateOf(machine);
  // The apply is killed while the disk's driver does not let go.
  const first = machine.spawn({ name: "first" });
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  const dead = Promise.withResolvers<void>();
  const hung = intercept(first, ({ method, args }, proceed) => {
    if (method !== "writeFileAsync" || !String(args[0]).endsWith("/unbind")) {
      return proceed();
    }
    resolve();
    return dead.promise;
  });
  const applying = applySteps(new Host({ kernel: hung }), [TAKE_DISK]);
  await reached;
  first.exit();
  const path = "/sys/bus/pci/drivers/nvme/unbind";
  let child: string | undefined = path;
  const kernel = intercept(
    machine.spawn(),
    ({ method, args }, proceed) =>
      method === "readlink" && args[0] === "/proc/1/fd/0" && child !== undefined
        ? child
        : proceed(),
  );
  const host = new Host({ kernel });
  assertEquals(host.function(DISK).driver, "nvme");
  const early = await restore(host, { timeout: 3000 });
  assertEquals(early.undone, []);
  const error = early.left[0]!.error as VfioError;
  assertEquals([error.code, error.device], ["TIMED_OUT", DISK]);
  assertStringIncludes(error.problem, "init (process 1) still writes to");
  // The kernel finishes the write.
  host.kernel.writeFile(path, DISK);
  child = undefined;
  assertEquals(host.function(DISK).driver, undefined);
  const { undone, left } = await restore(host);
  assertEquals([undone, left], [[TAKE_DISK], []]);
  assertAsBefore(machine, before);
  dead.reject(new Error("killed"));
  await assertRejects(() => applying);
});
