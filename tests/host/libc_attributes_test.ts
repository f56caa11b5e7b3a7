/**
 * Links, directories, metadata and small files by libc, compared with Deno's
 * results for the same files.
 */
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { join } from "@std/path";
import { KernelError } from "../../lib/kernel/errno.ts";
import { O_RDONLY } from "../../lib/uapi/linux/fcntl.ts";
import { errno, kernel, pipe, temporary } from "./libc_bench.ts";

Deno.test("LibcKernel.readlink() returns the text of the link", () => {
  using dir = temporary();
  for (const target of ["../somewhere/else", "/", "ä".repeat(2000)]) {
    const path = join(dir.path, "link");
    Deno.symlinkSync(target, path);
    assertEquals(kernel.readlink(path), target);
    assertEquals(kernel.readlink(path), Deno.readLinkSync(path));
    Deno.removeSync(path);
  }
});

Deno.test("LibcKernel.readdir() returns every name in order", () => {
  using dir = temporary();
  assertEquals(kernel.readdir(dir.path), []);
  const names = [".hidden", "..more", "name with spaces", "ünïcödé", "a\nb"];
  for (let i = 0; i < 3000; i++) names.push(`file-with-a-long-name-${i}`);
  for (const name of names) Deno.writeTextFileSync(join(dir.path, name), "");
  assertEquals(kernel.readdir(dir.path), names.sort());
});

Deno.test("LibcKernel.readdir() agrees with Deno on sysfs, procfs and /dev", () => {
  for (const path of ["/sys/bus", "/sys/class", "/dev", "/proc/self"]) {
    const names = [...Deno.readDirSync(path)].map(({ name }) => name).sort();
    assertGreater(names.length, 2);
    assertEquals(kernel.readdir(path), names);
  }
});

Deno.test("LibcKernel.stat() agrees with Deno", () => {
  using dir = temporary();
  const path = join(dir.path, "file");
  Deno.writeTextFileSync(path, "x", { mode: 0o640 });
  Deno.symlinkSync(path, join(dir.path, "link"));
  for (const name of [path, join(dir.path, "link"), dir.path, "/dev/null"]) {
    const { mode, uid, gid } = Deno.statSync(name);
    const status = kernel.stat(name);
    assertEquals(
      [status.mode, status.uid, status.gid],
      [mode, uid, gid] as number[],
    );
  }
  assertEquals(kernel.stat("/dev/null").device, "1:3");
  assertEquals(kernel.stat("/dev/full").device, "1:7");
  assertEquals(kernel.stat(path).device, "0:0");
});

Deno.test("LibcKernel.readFile() returns a text of any length", () => {
  using dir = temporary();
  const path = join(dir.path, "file");
  const texts = ["", "0x8086\n", "\0a\0", "€".repeat(50_000)];
  // Characters of two and four bytes, across the ends of reads.
  for (const first of ["", "x", "xy"]) {
    texts.push(first + "é".repeat(100_000), first + "😀".repeat(40_000));
  }
  for (const length of [65535, 65536, 65537, 131072, 300_000]) {
    texts.push("x".repeat(length));
  }
  for (const text of texts) {
    Deno.writeTextFileSync(path, text);
    assert(kernel.readFile(path) === text, `${text.length} characters`);
  }
});

Deno.test("LibcKernel.readFile() reads files of sysfs and procfs", () => {
  for (
    const path of [
      "/proc/self/limits",
      "/proc/self/environ",
      "/proc/filesystems",
      "/sys/devices/system/cpu/online",
    ]
  ) {
    assertEquals(kernel.readFile(path), Deno.readTextFileSync(path));
  }
});

Deno.test("LibcKernel.writeFile() and writeFileAsync() overwrite a file when it exists", async () => {
  using dir = temporary();
  const path = join(dir.path, "file");
  errno("ENOENT", () => kernel.writeFile(path, "x"));
  Deno.writeTextFileSync(path, "0123456789");
  kernel.writeFile(path, "ä\n");
  assertEquals(Deno.readTextFileSync(path), "ä\n3456789");
  await kernel.writeFileAsync(path, "ABC");
  assertEquals(Deno.readTextFileSync(path), "ABC3456789");
  kernel.writeFile(path, "");
  assertEquals(Deno.readTextFileSync(path), "ABC3456789");
});

Deno.test("LibcKernel.writeFile() and writeFileAsync() make one write", async () => {
  using dir = temporary();
  using reader = await pipe(dir.path);
  const bytes = new Uint8Array(100);
  for (
    const write of [
      (text: string) => kernel.writeFile(join(dir.path, "pipe"), text),
      (text: string) => kernel.writeFileAsync(join(dir.path, "pipe"), text),
    ]
  ) {
    await write("0000:01:00.0");
    assertEquals(kernel.read(reader.fd, bytes), 12);
    errno("EAGAIN", () => kernel.read(reader.fd, bytes));
  }
});

Deno.test("LibcKernel.writeFileAsync() throws the errno when it fails", async () => {
  for (
    const [path, code] of [
      ["/dev/full", "ENOSPC"],
      ["/nonexistent/file", "ENOENT"],
      ["/proc/self/fd", "EISDIR"],
    ] as const
  ) {
    const error = await assertRejects(
      () => kernel.writeFileAsync(path, "x"),
      KernelError,
    );
    assertEquals([error.code, error.path], [code, path]);
  }
});

Deno.test("LibcKernel throws a TypeError when a path has a NUL in it", async () => {
  const path = "/dev/null\0/dev/zero";
  for (
    const step of [
      () => kernel.open(path, O_RDONLY),
      () => kernel.readlink(path),
      () => kernel.readdir(path),
      () => kernel.stat(path),
      () => kernel.readFile(path),
      () => kernel.writeFile(path, "x"),
    ]
  ) {
    assertThrows(step, TypeError, "A path has no NUL");
  }
  await assertRejects(
    () => kernel.writeFileAsync(path, "x"),
    TypeError,
    "A path has no NUL",
  );
});

Deno.test("LibcKernel keeps no descriptor when a file cannot be read or written", async () => {
  const fds = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = fds();
  for (let i = 0; i < 50; i++) {
    errno("EISDIR", () => kernel.readFile("/proc"));
    errno("ENOSPC", () => kernel.writeFile("/dev/full", "x"));
    await assertRejects(() => kernel.writeFileAsync("/dev/full", "x"));
    kernel.readdir("/proc/self");
  }
  assertLess(fds(), before + 10);
});
