import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { faulty } from "../../kernels/fault.ts";
import {
  appendLine,
  draftOf,
  makeDirectories,
  readAll,
  readTextIfPresent,
  writeAll,
  writeFileAtomically,
} from "../../../lib/kernel/files.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { O_CREAT, O_RDONLY, O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";

const FILE = "/etc/passthru.json";

/** A machine's kernel, and a record of the calls that change something. */
function setUp(files: Record<string, string> = {}) {
  const { kernel } = simulate({ files });
  const calls: string[] = [];
  const watched = intercept(kernel, (call, proceed) => {
    calls.push(call.method);
    return proceed();
  });
  return { kernel, watched, calls };
}

/**
 * Makes each call of a step fail, and yields the call and the kernel
 * afterwards.
 */
function* failing(
  step: (kernel: Kernel) => void,
  files: Record<string, string>,
): Generator<{ kernel: Kernel; method: string; error: unknown }> {
  for (let nth = 1;; nth++) {
    const { kernel } = setUp(files);
    const fault = faulty(kernel, { nth, code: "EIO" });
    try {
      step(fault.kernel);
      if (fault.calls.length < nth) return;
      yield { kernel, method: fault.calls[nth - 1]!.method, error: undefined };
    } catch (error) {
      yield { kernel, method: fault.calls[nth - 1]!.method, error };
    }
  }
}

Deno.test("readAll() reads to the end, or to a limit, when little comes at a time", () => {
  const { kernel } = setUp();
  const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 251);
  const fd = kernel.open(FILE, O_RDWR | O_CREAT);
  writeAll(kernel, fd, bytes);
  kernel.close(fd);
  for (const step of [1000, 65_536, 1 << 20]) {
    const slow = intercept(
      kernel,
      ({ method, args }, proceed) =>
        method === "read"
          ? kernel.read(
            args[0] as number,
            (args[1] as Uint8Array).subarray(0, step),
          )
          : proceed(),
    );
    for (const limit of [1 << 24, 70_000, 69_999, 65_536, 5, 0]) {
      const fd = slow.open(FILE, O_RDONLY);
      assertEquals(readAll(slow, fd, limit), bytes.slice(0, limit));
      slow.close(fd);
    }
  }
});

Deno.test("writeFileAtomically() creates a file with its mode", () => {
  const { kernel } = setUp();
  writeFileAtomically(kernel, FILE, "täxt\n", 0o666);
  assertEquals(kernel.readFile(FILE), "täxt\n");
  assertEquals(kernel.stat(FILE).mode, 0o100666);
  writeFileAtomically(kernel, "/etc/empty", "");
  assertEquals(kernel.stat("/etc/empty").mode, 0o100644);
  assertEquals(kernel.readdir("/etc"), ["empty", "passthru.json"]);
  writeFileAtomically(kernel, "/top", "x");
  assertEquals(kernel.readFile("/top"), "x");
});

Deno.test("writeFileAtomically() replaces a file or a link when one exists", () => {
  const { kernel } = setUp({ [FILE]: "old", "/etc/other": "other" });
  writeFileAtomically(kernel, FILE, "new", 0o600);
  assertEquals(kernel.readFile(FILE), "new");
  assertEquals(kernel.stat(FILE).mode, 0o100600);
  kernel.symlink("other", "/etc/link");
  writeFileAtomically(kernel, "/etc/link", "new");
  assertEquals(kernel.readFile("/etc/other"), "other");
  assertEquals(kernel.readFile("/etc/link"), "new");
});

Deno.test("writeFileAtomically() syncs the text before the rename, and then the directory", () => {
  const { watched, calls } = setUp();
  writeFileAtomically(watched, FILE, "text");
  assertEquals(calls, [
    "unlink",
    "open",
    "write",
    "fchmod",
    "fsync",
    "close",
    "rename",
    "open",
    "fsync",
    "close",
  ]);
});

Deno.test("writeFileAtomically() writes everything when the kernel writes a part at a time", () => {
  const { kernel } = setUp();
  const slow = intercept(kernel, ({ method, args }, proceed) => {
    if (method !== "write") return proceed();
    const [fd, from] = args as [number, Uint8Array];
    return kernel.write(fd, from.subarray(0, 3));
  });
  writeFileAtomically(slow, FILE, "0123456789");
  assertEquals(kernel.readFile(FILE), "0123456789");
  appendLine(slow, FILE, "abcdefg");
  assertEquals(kernel.readFile(FILE), "0123456789abcdefg\n");
});

Deno.test("writeFileAtomically() leaves the old file or the new one when a call fails", () => {
  const step = (kernel: Kernel) => writeFileAtomically(kernel, FILE, "new");
  const failed: string[] = [];
  for (const { kernel, method, error } of failing(step, { [FILE]: "old" })) {
    failed.push(method);
    const renamed = failed.indexOf("rename") < failed.length - 1 &&
      failed.includes("rename");
    assertEquals(kernel.readdir("/etc"), ["passthru.json"], method);
    assertEquals(kernel.readFile(FILE), renamed ? "new" : "old", method);
    assertEquals((error as KernelError).code, "EIO", method);
  }
  assertEquals(failed.length, 10);
});

Deno.test("writeFileAtomically() replaces a draft when a killed process has left one", () => {
  const { kernel } = setUp({ [FILE]: "old", [draftOf(FILE)]: "ne" });
  writeFileAtomically(kernel, FILE, "new");
  assertEquals(kernel.readdir("/etc"), ["passthru.json"]);
  assertEquals(kernel.readFile(FILE), "new");
});

Deno.test("writeFileAtomically() throws when the file cannot be written", () => {
  const { kernel } = setUp({ [FILE]: "" });
  for (
    const [path, code] of [
      ["/etc/none/file", "ENOENT"],
      [`${FILE}/file`, "ENOTDIR"],
      ["/sys/bus/file", "EACCES"],
      ["/etc", "EISDIR"],
    ] as const
  ) {
    const error = assertThrows(
      () => writeFileAtomically(kernel, path, "x"),
      KernelError,
    );
    assertEquals(error.code, code, path);
  }
  assertEquals(kernel.readdir("/etc"), ["passthru.json"]);
  assertEquals(kernel.readdir("/").filter((name) => name.startsWith(".")), []);
});

Deno.test("appendLine() creates the file, and appends to it", () => {
  const { kernel, watched, calls } = setUp();
  appendLine(watched, "/run/journal", "first", 0o600);
  assertEquals(calls.splice(0).filter((call) => call === "fsync").length, 2);
  appendLine(watched, "/run/journal", "second");
  assertEquals(calls, ["open", "write", "fsync", "close"]);
  assertEquals(kernel.readFile("/run/journal"), "first\nsecond\n");
  assertEquals(kernel.stat("/run/journal").mode, 0o100600);
  assertThrows(
    () => appendLine(kernel, "/run/journal", "a\nb"),
    TypeError,
    "several lines",
  );
  assertThrows(
    () => appendLine(kernel, "/run/a/b", "x"),
    KernelError,
    "ENOENT",
  );
});

Deno.test("appendLine() follows no link", () => {
  const { kernel } = setUp({ "/etc/shadow": "" });
  kernel.symlink("/etc/shadow", "/tmp/journal");
  assertThrows(
    () => appendLine(kernel, "/tmp/journal", "x"),
    KernelError,
    "ELOOP",
  );
  assertEquals(kernel.readFile("/etc/shadow"), "");
});

Deno.test("appendLine() throws when any of its calls fails", () => {
  const step = (kernel: Kernel) => appendLine(kernel, "/run/journal", "x");
  const failed = [...failing(step, { "/run/journal": "w\n" })];
  assertEquals(failed.map(({ method }) => method), [
    "open",
    "write",
    "fsync",
    "close",
  ]);
  for (const { kernel, method, error } of failed) {
    assertEquals((error as KernelError).code, "EIO", method);
    assertEquals(kernel.readFile("/run/journal").startsWith("w\n"), true);
  }
});

Deno.test("makeDirectories() creates all missing directories", () => {
  const { kernel, watched, calls } = setUp({ "/run/file": "" });
  makeDirectories(kernel, "/run/a/b/c", 0o700);
  for (const path of ["/run/a", "/run/a/b", "/run/a/b/c"]) {
    assertEquals(kernel.stat(path).mode, 0o040700, path);
  }
  makeDirectories(kernel, "/run/a/b/d/");
  assertEquals(kernel.stat("/run/a/b/d").mode, 0o040755);
  makeDirectories(watched, "/run/a/b/c");
  makeDirectories(watched, "/");
  assertEquals(calls, ["mkdir", "stat", "mkdir", "stat"]);
  kernel.symlink("a", "/run/link");
  makeDirectories(kernel, "/run/link/b");
  for (
    const [path, code] of [
      ["/run/file", "EEXIST"],
      ["/run/file/a/b", "ENOTDIR"],
      ["/sys/a/b", "EPERM"],
      ["", "ENOENT"],
    ] as const
  ) {
    const error = assertThrows(
      () => makeDirectories(kernel, path),
      KernelError,
    );
    assertEquals(error.code, code, path);
  }
});

Deno.test("readTextIfPresent() returns the text, or undefined when there is no file", () => {
  const { kernel } = setUp({ [FILE]: "text" });
  assertEquals(readTextIfPresent(kernel, FILE), "text");
  assertEquals(readTextIfPresent(kernel, "/etc/none"), undefined);
  assertEquals(readTextIfPresent(kernel, `${FILE}/none`), undefined);
  assertThrows(() => readTextIfPresent(kernel, "/etc"), KernelError, "EISDIR");
});

Deno.test("faulty() cuts short an asynchronous read", async () => {
  const { kernel } = setUp({ [FILE]: "text" });
  const short = faulty(kernel, { nth: 1, bytes: 2 }).kernel;
  assertEquals(await short.readFileAsync(FILE), "te");
  const failed = faulty(kernel, { nth: 1, code: "EIO" }).kernel;
  await assertRejects(() => failed.readFileAsync(FILE), KernelError, "EIO");
});
