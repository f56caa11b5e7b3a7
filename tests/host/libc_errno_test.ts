/**
 * The errnos of failed calls: each must be that of its own call.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import {
  errnoMessage,
  errnoName,
  errnoNumber,
  KernelError,
} from "../../lib/kernel/errno.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../../lib/uapi/linux/fcntl.ts";
import { io } from "../../lib/uapi/ioctl.ts";
import { runScript } from "./child.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

const FIONREAD = io("FIONREAD", 0x54, 0x1b, "u32");
const FREEZE = io("NOT_OF_THIS_DEVICE", 0x3b, 0x64, "none");

/** Files on which calls fail. */
function setUp() {
  const dir = Deno.makeTempDirSync();
  const file = join(dir, "file");
  Deno.writeTextFileSync(file, "x");
  Deno.symlinkSync(file, join(dir, "link"));
  Deno.symlinkSync(join(dir, "loop"), join(dir, "loop"));
  return {
    dir,
    file,
    [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
  };
}

/** An errno by its name, and a call that fails with it. */
type Failure = readonly [
  code: string,
  syscall: string,
  path: string | undefined,
  fail: () => unknown,
];

function failures(dir: string, file: string, fd: number): Failure[] {
  const none = join(dir, "none");
  const below = join(file, "below");
  const loop = join(dir, "loop");
  const link = join(dir, "link");
  const long = join(dir, "x".repeat(256));
  const bytes = new Uint8Array(4);
  return [
    ["ENOENT", "open", none, () => kernel.open(none, O_RDONLY)],
    ["ENOENT", "open", "", () => kernel.open("", O_RDONLY)],
    ["ENOTDIR", "open", below, () => kernel.open(below, O_RDONLY)],
    ["ENOTDIR", "open", file, () => kernel.open(file, O_DIRECTORY)],
    ["ELOOP", "open", loop, () => kernel.open(loop, O_RDONLY)],
    ["ELOOP", "open", link, () => kernel.open(link, O_NOFOLLOW)],
    ["EISDIR", "open", dir, () => kernel.open(dir, O_WRONLY)],
    ["ENAMETOOLONG", "open", long, () => kernel.open(long, O_RDONLY)],
    ["EBADF", "close", undefined, () => kernel.close(-1)],
    ["EBADF", "read", undefined, () => kernel.read(999_999, bytes)],
    ["EISDIR", "read", undefined, () => kernel.read(fd, bytes)],
    ["EBADF", "write", undefined, () => kernel.write(fd, bytes)],
    ["EISDIR", "pread", undefined, () => kernel.pread(fd, bytes, 0n)],
    ["EBADF", "pwrite", undefined, () => kernel.pwrite(fd, bytes, 0n)],
    ["EBADF", "FIONREAD", undefined, () => kernel.ioctl(-1, FIONREAD, bytes)],
    ["ENOTTY", FREEZE.name, undefined, () => kernel.ioctl(fd, FREEZE)],
    ["EINVAL", "eventfd", undefined, () => kernel.eventfd(0, 0x10)],
    ["ENOENT", "readlink", none, () => kernel.readlink(none)],
    ["EINVAL", "readlink", file, () => kernel.readlink(file)],
    ["ENOENT", "open", none, () => kernel.readdir(none)],
    ["ENOTDIR", "open", file, () => kernel.readdir(file)],
    ["ENOENT", "statx", none, () => kernel.stat(none)],
    ["ELOOP", "statx", loop, () => kernel.stat(loop)],
    ["ENOENT", "open", none, () => kernel.readFile(none)],
    ["EISDIR", "read", dir, () => kernel.readFile(dir)],
    ["EISDIR", "open", dir, () => kernel.writeFile(dir, "x")],
    ["ENOSPC", "write", "/dev/full", () => kernel.writeFile("/dev/full", "x")],
  ];
}

/** Asserts that `fail` throws the expected error. */
function check([code, syscall, path, fail]: Failure): void {
  const error = assertThrows(fail, KernelError);
  if (
    error.code !== code || error.errno !== errnoNumber(code) ||
    error.syscall !== syscall || error.path !== path
  ) throw new Error(`${error.message}: expected ${code} of ${syscall}`);
}

Deno.test("LibcKernel throws the errno, the call and the file when a call fails", () => {
  using files = setUp();
  const fd = kernel.open(files.dir, O_RDONLY);
  for (const failure of failures(files.dir, files.file, fd)) check(failure);
  kernel.close(fd);
});

Deno.test("LibcKernel throws the right errno when other calls fail in the background", async () => {
  using files = setUp();
  const directory = kernel.open(files.dir, O_RDONLY);
  const pipe = kernel.open("/dev/null", O_RDWR);
  const all = failures(files.dir, files.file, directory);
  let background = 0;
  let done = false;
  const traffic = async (step: () => Promise<unknown>) => {
    while (!done) {
      await step();
      background++;
    }
  };
  const failing = (code: string, fd: number) => () =>
    kernel.ioctlAsync(fd, FIONREAD, new Uint8Array(4)).then(
      () => Promise.reject(new Error("did not fail")),
      (error) => assertEquals(error.code, code),
    );
  const running = [
    traffic(failing("EBADF", -1)),
    traffic(failing("ENOTTY", pipe)),
    traffic(() => kernel.closeAsync(-1).catch(() => {})),
    traffic(() => kernel.pollAsync([{ fd: -1, events: 1 }], 0)),
    traffic(() => Deno.stat("/nonexistent").catch(() => {})),
    traffic(() => kernel.writeFileAsync("/dev/full", "x").catch(() => {})),
  ];
  let checked = 0;
  while (checked < 2000 || background < 200) {
    for (let i = 0; i < 50; i++) check(all[checked++ % all.length]!);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  done = true;
  await Promise.all(running);
  kernel.close(directory);
  kernel.close(pipe);
});

Deno.test({
  name: "LibcKernel throws EACCES when this user has no access",
  ignore: Deno.uid() !== 0,
  async fn() {
    using files = setUp();
    Deno.chmodSync(files.dir, 0o755);
    Deno.chmodSync(files.file, 0o600);
    Deno.mkdirSync(join(files.dir, "closed"), { mode: 0o700 });
    const { stdout, stderr } = await runScript(
      `
      import { LibcKernel } from "/lib/kernel/libc.ts";
      const kernel = new LibcKernel();
      const { symbols } = Deno.dlopen("libc.so.6", {
        seteuid: { parameters: ["u32"], result: "i32" },
      });
      symbols.seteuid(65534);
      const file = ${JSON.stringify(files.file)};
      const closed = ${JSON.stringify(join(files.dir, "closed"))};
      for (const step of [
        () => kernel.open(file, 0),
        () => kernel.readFile(file),
        () => kernel.writeFile(file, "y"),
        () => kernel.readdir(closed),
        () => kernel.stat(closed + "/x"),
        () => kernel.writeFileAsync(file, "y"),
      ]) {
        try {
          await step();
          console.log("did not fail");
        } catch (error) {
          console.log(error.message);
        }
      }`,
      ["--allow-ffi"],
    );
    const closed = join(files.dir, "closed");
    assertEquals(
      { stdout, stderr },
      {
        stdout: [
          `open ${files.file}`,
          `open ${files.file}`,
          `open ${files.file}`,
          `open ${closed}`,
          `statx ${closed}/x`,
          `open ${files.file}`,
          "",
        ].join(": EACCES (Permission denied)\n"),
        stderr: "",
      },
    );
    assertEquals(Deno.readTextFileSync(files.file), "x");
  },
});

Deno.test("errnoName() and errnoMessage() agree with glibc", async () => {
  using files = setUp();
  const program = join(files.dir, "names");
  await Deno.writeTextFile(
    `${program}.c`,
    `#include <stdio.h>
    #include <string.h>
    int main(void) {
      for (int i = 1; i <= 133; i++) {
        const char *name = strerrorname_np(i), *text = strerrordesc_np(i);
        printf("%d %s %s\\n", i, name ? name : "-", text ? text : "-");
      }
    }`,
  );
  const run = async (command: string, args: string[]) => {
    const output = await new Deno.Command(command, { args }).output();
    assertEquals(new TextDecoder().decode(output.stderr), "");
    return new TextDecoder().decode(output.stdout);
  };
  await run("gcc", ["-D_GNU_SOURCE", "-o", program, `${program}.c`]);
  const ours = Array.from({ length: 133 }, (_, i) => {
    const errno = i + 1;
    const name = errnoName(errno);
    return name === `E${errno}`
      ? `${errno} - -`
      : `${errno} ${name} ${errnoMessage(errno)}`;
  });
  assertEquals((await run(program, [])).trimEnd().split("\n"), ours);
});
