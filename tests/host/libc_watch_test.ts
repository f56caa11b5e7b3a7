/** Waiting for eventfds, and for streams. */
import { cpuUsage } from "node:process";
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { EFD_NONBLOCK } from "../../lib/uapi/linux/eventfd.ts";
import { AF_UNIX, SOCK_STREAM } from "../../lib/uapi/linux/socket.ts";
import { runScript } from "./child.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

const count = (fd: number, times: bigint) =>
  kernel.write(fd, new Uint8Array(BigUint64Array.of(times).buffer));

const threads = () => [...Deno.readDirSync("/proc/self/task")].length;

const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;

Deno.test("LibcKernel.watch() gives counts, which add up while nobody asks", async () => {
  const fd = kernel.eventfd(2, EFD_NONBLOCK);
  const counts = kernel.watch(fd);
  count(fd, 3n);
  assertEquals(await counts.next(), { value: 5, done: false });
  const next = counts.next();
  setTimeout(() => count(fd, 1n), 5);
  assertEquals(await next, { value: 1, done: false });
  await counts.return!();
  assertEquals(await counts.next(), { value: undefined, done: true });
  kernel.close(fd);
});

Deno.test("LibcKernel.watch() waits for many descriptors on one thread, and leaves nothing", async () => {
  const before = [threads(), descriptors()];
  const fds = Array.from({ length: 200 }, () => kernel.eventfd(0, 0));
  const watches = fds.map((fd) => kernel.watch(fd));
  const waiting = watches.map((counts) => counts.next());
  // Besides those on which Deno makes calls.
  assertLess(threads(), before[0]! + 20);
  for (const [i, fd] of fds.entries()) count(fd, BigInt(i + 1));
  const got = (await Promise.all(waiting)).map(({ value }) => value);
  assertEquals(got, fds.map((_, i) => i + 1));
  for (const counts of watches) await counts.return!();
  for (const fd of fds) kernel.close(fd);
  assertEquals(descriptors(), before[1]);
});

Deno.test("LibcKernel.watch() ends when the signal says so, and when its consumer stops", async () => {
  const fd = kernel.eventfd(0, 0);
  const other = kernel.watch(fd);
  const abort = new AbortController();
  const aborted = kernel.watch(fd, abort).next();
  const reason = new Error("enough");
  abort.abort(reason);
  assertEquals(await aborted.catch((error) => error), reason);
  const counts = kernel.watch(fd);
  const pending = counts.next();
  await counts.return!();
  assertEquals(await pending, { value: undefined, done: true });
  await assertRejects(async () => {
    for await (const _ of kernel.watch(fd, { signal: AbortSignal.abort() }));
  });
  await other.return!();
  kernel.close(fd);
});

Deno.test("LibcKernel.watch() goes on when its descriptor is closed and the number is another's", async () => {
  const fd = kernel.eventfd(0, 0);
  const counts = kernel.watch(fd);
  const own = kernel.fcntl(fd, 1030, 0);
  kernel.close(fd);
  const other = kernel.eventfd(9, 0);
  assertEquals(other, fd);
  count(own, 1n);
  assertEquals((await counts.next()).value, 1);
  await counts.return!();
  kernel.close(own);
  kernel.close(other);
});

Deno.test("LibcKernel.watch() keeps the process only while somebody waits", async () => {
  const script = (wait: string) =>
    runScript(
      `
      import { LibcKernel } from "/lib/kernel/libc.ts";
      const kernel = new LibcKernel();
      const counts = kernel.watch(kernel.eventfd(1, 0));
      ${wait}
      console.log("end");`,
      ["--allow-ffi"],
    );
  for (const wait of ["", "await counts.next();"]) {
    const { code, stdout, stderr } = await script(wait);
    assertEquals([code, stdout, stderr], [0, "end\n", ""]);
  }
});

Deno.test("LibcKernel.eventSource() takes no time while 256 descriptors are quiet, and once for a storm", async () => {
  const fds = Array.from(
    { length: 256 },
    () => kernel.eventfd(0, EFD_NONBLOCK),
  );
  const sources = fds.map((fd) => kernel.eventSource(fd));
  let calls = 0;
  for (const source of sources) source.arm(() => calls++);
  const pause = () => new Promise((resolve) => setTimeout(resolve, 300));
  await pause();
  const before = cpuUsage();
  await pause();
  const { user, system } = cpuUsage(before);
  assertLess(user + system, 100_000, "microseconds of 300,000");
  // Nobody asks for the next count.
  for (let i = 0; i < 10_000; i++) count(fds[i % 8]!, 1n);
  await pause();
  assertEquals(calls, 8);
  assertEquals(sources.slice(0, 9).map((source) => source.read()), [
    ...Array(8).fill(1250),
    undefined,
  ]);
  for (const source of sources) await source.release();
  for (const fd of fds) kernel.close(fd);
});

Deno.test("LibcKernel.readAsync() and writeAsync() give what the call gives", async () => {
  const [one, other] = kernel.socketpair(AF_UNIX, SOCK_STREAM, 0);
  const into = new Uint8Array(8);
  const reading = kernel.readAsync(one, into);
  assertEquals(await kernel.writeAsync(other, new Uint8Array([1, 2, 3])), 3);
  assertEquals([await reading, ...into.subarray(0, 3)], [3, 1, 2, 3]);
  kernel.close(other);
  kernel.close(one);
  const error = await kernel.readAsync(999_999, into).catch((error) => error);
  assertEquals(error.code, "EBADF");
});

Deno.test("LibcKernel.readAsync() is given up when the signal says so", async () => {
  // A process of its own, as it ends no earlier than the call that was given up.
  const { code, stdout, stderr } = await runScript(
    `
    import { LibcKernel } from "/lib/kernel/libc.ts";
    import { AF_UNIX, SOCK_STREAM } from "/lib/uapi/linux/socket.ts";
    const kernel = new LibcKernel();
    const [one, other] = kernel.socketpair(AF_UNIX, SOCK_STREAM, 0);
    const abort = new AbortController();
    const reading = kernel.readAsync(one, new Uint8Array(8), abort);
    abort.abort(new Error("enough"));
    await reading.catch((error) => console.log(error.message));
    kernel.close(other);`,
    ["--allow-ffi"],
  );
  assertEquals({ code, stdout, stderr }, {
    code: 0,
    stdout: "enough\n",
    stderr: "",
  });
});

Deno.test("LibcKernel.sendmsg() passes descriptors, and recvmsg() takes no more than it may", () => {
  const before = descriptors();
  const [one, other] = kernel.socketpair(AF_UNIX, SOCK_STREAM, 0);
  const file = kernel.memfd("test", 0);
  kernel.ftruncate(file, 4096n);
  const into = new Uint8Array(8);
  assertEquals(kernel.sendmsg(one, new Uint8Array([7]), [file, file]), 1);
  const { bytes, fds } = kernel.recvmsg(other, into, 8);
  assertEquals([bytes, into[0], fds.length], [1, 7, 2]);
  kernel.pwrite(fds[0]!, new Uint8Array([42]), 0n);
  kernel.pread(file, into, 0n);
  assertEquals(into[0], 42);
  kernel.sendmsg(one, new Uint8Array([8]), [file, file]);
  assertEquals(kernel.recvmsg(other, into), { bytes: 1, fds: [] });
  for (const fd of [...fds, file, one, other]) kernel.close(fd);
  assertEquals(descriptors(), before);
});

Deno.test("LibcKernel.mmap() aligns as it is told", () => {
  for (const alignment of [4096, 1 << 16, 1 << 21, 1 << 30]) {
    const mapping = kernel.mmap(8192, 3, 0x22, -1, 0n, alignment);
    assertEquals(mapping.address % BigInt(alignment), 0n);
    const bytes = new Uint8Array(mapping.buffer);
    bytes[8191] = 1;
    assert(bytes[8191] === 1);
    kernel.munmap(mapping);
  }
});

Deno.test("LibcKernel.eventSource() keeps the process only while it waits, and not in the background", async () => {
  const script = (wait: string) =>
    runScript(
      `
      import { LibcKernel } from "/lib/kernel/libc.ts";
      const kernel = new LibcKernel();
      const fd = kernel.eventfd(0, ${EFD_NONBLOCK});
      const source = kernel.eventSource(fd);
      ${wait}
      console.log("end");`,
      ["--allow-ffi"],
    );
  const one = "kernel.write(fd, new Uint8Array(BigUint64Array.of(7n).buffer));";
  for (
    const [wait, expected] of [
      ["source.arm(() => {}, true);", "end\n"],
      // The wait for something else is over, and the one in the background
      // goes on.
      [
        `source.arm(() => source.arm(() => {}, true)); ${one}`,
        "end\n",
      ],
      [
        `source.arm(() => console.log(source.read(), source.read())); ${one}`,
        "end\n7 undefined\n",
      ],
      ["source.arm(() => {}); source.disarm();", "end\n"],
    ] as const
  ) {
    const { code, stdout, stderr } = await script(wait);
    assertEquals([code, stdout, stderr], [0, expected, ""], wait);
  }
});

Deno.test("LibcKernel.eventSource() lets the process end as it does without, while events arrive", async () => {
  const script = (end: string) =>
    runScript(
      `
      import { LibcKernel } from "/lib/kernel/libc.ts";
      const kernel = new LibcKernel();
      const fd = kernel.eventfd(1, ${EFD_NONBLOCK});
      const source = kernel.eventSource(fd);
      const again = () => source.arm(again, true);
      again();
      setTimeout(() => { ${end} }, 1);`,
      ["--allow-ffi"],
    );
  for (
    const [end, expected] of [
      ["", 0],
      ["Deno.exit(3)", 3],
      ["throw new Error()", 1],
      ["Promise.reject(new Error())", 1],
      // Events arrive when an error did not end it, too.
      [
        `addEventListener("error", (event) => event.preventDefault());
         setTimeout(() => source.arm(() => Deno.exit(4)), 20);
         throw new Error()`,
        4,
      ],
    ] as const
  ) {
    for (let i = 0; i < 3; i++) {
      assertEquals((await script(end)).code, expected, end);
    }
  }
});
