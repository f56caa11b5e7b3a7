/**
 * System calls with descriptors by libc, compared with Deno's results for the
 * same files.
 */
import {
  assert,
  assertEquals,
  assertGreater,
  assertRejects,
} from "@std/assert";
import { join } from "@std/path";
import { KernelError } from "../../lib/kernel/errno.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { EFD_NONBLOCK, EFD_SEMAPHORE } from "../../lib/uapi/linux/eventfd.ts";
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../../lib/uapi/linux/fcntl.ts";
import { io } from "../../lib/uapi/ioctl.ts";
import { POLLIN, POLLNVAL, POLLOUT } from "../../lib/uapi/linux/poll.ts";
import { errno, kernel, opened, pipe, temporary } from "./libc_bench.ts";

/** How often a call is made, so that it is also optimised. */
const OFTEN = 20_000;

// asm-generic/ioctls.h
const FIONREAD = io("FIONREAD", 0x54, 0x1b, "u32");
const TCFLSH = io("TCFLSH", 0x54, 0x0b, "value");
/** Its number has the top bit set. */
const TIOCGPTN = {
  name: "TIOCGPTN",
  request: 0x80045430,
  argument: "u32",
} as const;

Deno.test("LibcKernel.pageSize is the system's", async () => {
  const { stdout } = await new Deno.Command("getconf", { args: ["PAGESIZE"] })
    .output();
  assertEquals(kernel.pageSize, Number(new TextDecoder().decode(stdout)));
});

Deno.test("LibcKernel.read() and write() continue where the last call ended", () => {
  using dir = temporary();
  const path = join(dir.path, "file");
  Deno.writeTextFileSync(path, "0123456789");
  using file = opened(path, O_RDWR);
  const bytes = new Uint8Array(8).fill(0xff);
  // Only the given part of the buffer is written to.
  assertEquals(kernel.read(file.fd, bytes.subarray(2, 6)), 4);
  assertEquals(bytes, Uint8Array.of(255, 255, 48, 49, 50, 51, 255, 255));
  const text = new TextEncoder().encode("<abc>");
  assertEquals(kernel.write(file.fd, text.subarray(1, 4)), 3);
  assertEquals(Deno.readTextFileSync(path), "0123abc789");
  assertEquals(kernel.read(file.fd, bytes), 3);
  assertEquals(kernel.read(file.fd, bytes), 0);
  assertEquals(kernel.read(file.fd, new Uint8Array(0)), 0);
});

Deno.test("LibcKernel.pread() and pwrite() reach offsets beyond 4 GiB", () => {
  using dir = temporary();
  const path = join(dir.path, "file");
  Deno.writeTextFileSync(path, "");
  Deno.truncateSync(path, 2 ** 33);
  using file = opened(path, O_RDWR);
  const bytes = new Uint8Array(2);
  for (let i = 0; i < OFTEN; i++) {
    const offset = BigInt(2 ** 32 + 2 * i);
    const value = Uint8Array.of(i, i >> 8);
    if (kernel.pwrite(file.fd, value, offset) !== 2) throw new Error(`${i}`);
    if (kernel.pread(file.fd, bytes, offset) !== 2) throw new Error(`${i}`);
    if (bytes[0] !== value[0] || bytes[1] !== value[1]) {
      throw new Error(`${i}`);
    }
  }
  using reader = Deno.openSync(path);
  reader.seekSync(2 ** 32 + 600, Deno.SeekMode.Start);
  reader.readSync(bytes);
  assertEquals(bytes, Uint8Array.of(300 & 0xff, 300 >> 8));
  // The position does not move, and unwritten bytes are zeros.
  assertEquals(kernel.read(file.fd, bytes), 2);
  assertEquals(bytes, new Uint8Array(2));
  assertEquals(kernel.pread(file.fd, bytes, 2n ** 33n - 1n), 1);
  assertEquals(kernel.pread(file.fd, bytes, 2n ** 33n), 0);
  errno("EINVAL", () => kernel.pread(file.fd, bytes, -1n));
});

Deno.test("LibcKernel.open() always closes on exec", () => {
  using dir = temporary();
  const path = join(dir.path, "file");
  Deno.writeTextFileSync(path, "");
  const flagsOf = (fd: number) => {
    const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
    return parseInt(/^flags:\s*(\d+)$/m.exec(info)![1]!, 8);
  };
  for (const flags of [O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_NONBLOCK]) {
    using file = opened(path, flags);
    assertEquals(flagsOf(file.fd) & O_CLOEXEC, O_CLOEXEC);
    assertEquals(flagsOf(file.fd) & 3, flags & 3);
  }
  const event = kernel.eventfd(0, 0);
  assertEquals(flagsOf(event) & O_CLOEXEC, O_CLOEXEC);
  kernel.close(event);
});

Deno.test("LibcKernel leaves no descriptor to a child", async () => {
  using file = opened("/dev/null", O_RDWR);
  const event = kernel.eventfd(0, 0);
  const { stdout } = await new Deno.Command("ls", { args: ["/proc/self/fd"] })
    .output();
  const inherited = new TextDecoder().decode(stdout).trim().split("\n");
  assert(inherited.includes("2"));
  assert(!inherited.includes(String(file.fd)));
  assert(!inherited.includes(String(event)));
  kernel.close(event);
});

Deno.test("LibcKernel.close() and closeAsync() close the descriptor", async () => {
  const fds = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const before = fds();
  const first = kernel.open("/dev/null", O_RDWR);
  const second = kernel.open("/dev/null", O_RDWR);
  assertEquals(fds(), before + 2);
  kernel.close(first);
  await kernel.closeAsync(second);
  assertEquals(fds(), before);
  errno("EBADF", () => kernel.close(999_999));
  const error = await assertRejects(
    () => kernel.closeAsync(999_999),
    KernelError,
  );
  assertEquals(error.code, "EBADF");
});

Deno.test("LibcKernel.ioctl() passes an argument by reference", async () => {
  using dir = temporary();
  using file = await pipe(dir.path);
  const count = new Uint8Array(12).fill(0xff);
  const argument = count.subarray(4, 8);
  for (let i = 0; i < OFTEN; i++) {
    if (kernel.ioctl(file.fd, FIONREAD, argument) !== 0) throw new Error();
  }
  kernel.write(file.fd, new Uint8Array(0x1234));
  assertEquals(kernel.ioctl(file.fd, FIONREAD, argument), 0);
  assertEquals(
    count,
    Uint8Array.of(255, 255, 255, 255, 0x34, 0x12, 0, 0, 255, 255, 255, 255),
  );
});

Deno.test("LibcKernel.ioctl() passes an argument by value, and 0 without one", () => {
  // TCFLSH takes 0, 1 and 2.
  using terminal = opened("/dev/ptmx", O_RDWR);
  for (let i = 0; i < OFTEN; i++) {
    if (kernel.ioctl(terminal.fd, TCFLSH, BigInt(i % 3)) !== 0) {
      throw new Error(`${i}`);
    }
  }
  for (let i = 0; i < 500; i++) {
    // A value left in a register must not become the next argument.
    errno("EINVAL", () => kernel.ioctl(terminal.fd, TCFLSH, 3n));
    assertEquals(kernel.ioctl(terminal.fd, TCFLSH), 0);
    errno("EINVAL", () => kernel.ioctl(terminal.fd, TCFLSH, 1n << 32n));
    errno("EINVAL", () => kernel.ioctl(terminal.fd, TCFLSH, 1n << 63n));
  }
});

Deno.test("LibcKernel.ioctl() takes a number with the top bit set", () => {
  using terminal = opened("/dev/ptmx", O_RDWR);
  const number = new Uint8Array(4).fill(0xff);
  assertEquals(kernel.ioctl(terminal.fd, TIOCGPTN, number), 0);
  const index = new DataView(number.buffer).getUint32(0, true);
  Deno.statSync(`/dev/pts/${index}`);
});

Deno.test("LibcKernel.ioctlAsync() returns the result, and fills the argument", async () => {
  using dir = temporary();
  using file = await pipe(dir.path);
  kernel.write(file.fd, new Uint8Array(77));
  const count = new Uint8Array(4);
  assertEquals(await kernel.ioctlAsync(file.fd, FIONREAD, count), 0);
  assertEquals(count, Uint8Array.of(77, 0, 0, 0));
  using terminal = opened("/dev/ptmx", O_RDWR);
  assertEquals(await kernel.ioctlAsync(terminal.fd, TCFLSH, 2n), 0);
  assertEquals(await kernel.ioctlAsync(terminal.fd, TCFLSH), 0);
});

Deno.test("LibcKernel.ioctlAsync() throws the errno when it fails", async () => {
  using file = opened("/dev/null", O_RDWR);
  using terminal = opened("/dev/ptmx", O_RDWR);
  const bytes = new Uint8Array(4);
  for (
    const [fd, operation, argument, code] of [
      [file.fd, FIONREAD, bytes, "ENOTTY"],
      [-1, FIONREAD, bytes, "EBADF"],
      [terminal.fd, TCFLSH, 3n, "EINVAL"],
    ] as const
  ) {
    const error = await assertRejects(
      () => kernel.ioctlAsync(fd, operation, argument),
      KernelError,
    );
    assertEquals([error.code, error.syscall], [code, operation.name]);
  }
});

Deno.test("LibcKernel.eventfd() starts at the value and takes the flags", () => {
  const read = (fd: number) => {
    const bytes = new Uint8Array(8);
    assertEquals(kernel.read(fd, bytes), 8);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  };
  const counter = kernel.eventfd(5, EFD_NONBLOCK);
  assertEquals(read(counter), 5n);
  errno("EAGAIN", () => kernel.read(counter, new Uint8Array(8)));
  kernel.write(counter, Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 0));
  assertEquals(read(counter), 256n);
  kernel.close(counter);
  const semaphore = kernel.eventfd(0xffff_ffff, EFD_NONBLOCK | EFD_SEMAPHORE);
  assertEquals([read(semaphore), read(semaphore)], [1n, 1n]);
  kernel.close(semaphore);
});

Deno.test("LibcKernel.pollAsync() returns the bits of each descriptor in order", async () => {
  const [empty, full] = [kernel.eventfd(0, 0), kernel.eventfd(1, 0)];
  const both = POLLIN | POLLOUT;
  assertEquals(
    await kernel.pollAsync([
      { fd: full, events: POLLIN },
      { fd: empty, events: both },
      { fd: empty, events: POLLIN },
      { fd: 999_999, events: POLLIN },
      { fd: full, events: both },
      { fd: -1, events: POLLIN },
    ], -1),
    [POLLIN, POLLOUT, 0, POLLNVAL, both, 0],
  );
  kernel.close(empty);
  kernel.close(full);
});

Deno.test("LibcKernel.pollAsync() returns no bits when the time is over, and not before", async () => {
  const fd = kernel.eventfd(0, 0);
  const start = performance.now();
  const requests = [{ fd, events: POLLIN }];
  assertEquals(await kernel.pollAsync(requests, 50), [0]);
  assertGreater(performance.now() - start, 49);
  assertEquals(await kernel.pollAsync(requests, 0), [0]);
  assertEquals(await kernel.pollAsync([], 0), []);
  kernel.close(fd);
});

Deno.test("LibcKernel.pollAsync() returns when a descriptor gets ready, and blocks nothing", async () => {
  const fd = kernel.eventfd(0, 0);
  let ready = false;
  const polled = kernel.pollAsync([{ fd, events: POLLIN }], -1)
    .then((bits) => (ready = true, bits));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(ready, false);
  kernel.write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  assertEquals(await polled, [POLLIN]);
  kernel.close(fd);
});

Deno.test("LibcKernel.pollAsync() throws the errno when it fails", async () => {
  const { soft } = limitOnFiles();
  const requests = Array.from({ length: soft + 1 }, () => ({
    fd: -1,
    events: POLLIN,
  }));
  // On a kernel that has made no other call before.
  const error = await assertRejects(
    () => unused.pollAsync(requests, 0),
    KernelError,
  );
  assertEquals([error.code, error.syscall], ["EINVAL", "ppoll"]);
});

// It loads libc here, so that no test seems to leak that.
const unused = new LibcKernel();
await unused.pollAsync([], 0);

function limitOnFiles(): { soft: number } {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  return { soft: Number(/^Max open files\s+(\d+)/m.exec(limits)![1]) };
}

Deno.test("LibcKernel.addressOf() returns the address of the bytes", () => {
  const bytes = new Uint8Array(64);
  const address = kernel.addressOf(bytes);
  assertEquals(kernel.addressOf(bytes.subarray(5)), address + 5n);
  bytes[5] = 0xab;
  using memory = opened("/proc/self/mem", O_RDONLY);
  const read = new Uint8Array(1);
  kernel.pread(memory.fd, read, address + 5n);
  assertEquals(read[0], 0xab);
  errno("ENOTDIR", () => kernel.open("/proc/self/mem", O_DIRECTORY));
});
