/**
 * Memory mapped by libc. An old view of unmapped memory must not end the
 * process.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { KernelError } from "../../lib/kernel/errno.ts";
import type { Mapping } from "../../lib/kernel/kernel.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { O_RDONLY, O_RDWR, O_WRONLY } from "../../lib/uapi/linux/fcntl.ts";
import {
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../lib/uapi/linux/mman.ts";
import { runScript } from "./child.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

const { pageSize } = kernel;
const BOTH = PROT_READ | PROT_WRITE;
const ANYWHERE = MAP_SHARED | MAP_ANONYMOUS;

function anonymous(length: number): Mapping {
  return kernel.mmap(length, BOTH, ANYWHERE, -1, 0n);
}

/** Whether this process has something mapped at an address. */
function isMapped(address: bigint): boolean {
  return Deno.readTextFileSync("/proc/self/maps").trimEnd().split("\n").some(
    (line) => {
      const [start, end] = line.split(" ")[0]!.split("-")
        .map((hex) => BigInt(`0x${hex}`));
      return end !== undefined && start! <= address && address < end;
    },
  );
}

function errno(code: string, step: () => unknown): void {
  assertEquals(assertThrows(step, KernelError).code, code);
}

/** A file of four pages, each of which begins with its number. */
function file() {
  const dir = Deno.makeTempDirSync();
  const path = join(dir, "file");
  const bytes = new Uint8Array(4 * pageSize);
  for (let page = 0; page < 4; page++) bytes[page * pageSize] = page;
  Deno.writeFileSync(path, bytes);
  return {
    path,
    [Symbol.dispose]: () => Deno.removeSync(dir, { recursive: true }),
  };
}

Deno.test("LibcKernel.mmap() maps zeroed memory at its address, and munmap() unmaps it", () => {
  const mapping = anonymous(3 * pageSize);
  const { address, length, buffer } = mapping;
  assertEquals([length, buffer.byteLength], [3 * pageSize, 3 * pageSize]);
  assertEquals(address % BigInt(pageSize), 0n);
  assert(isMapped(address) && isMapped(address + BigInt(2 * pageSize)));
  const bytes = new Uint8Array(buffer);
  assert(bytes.every((byte) => byte === 0));
  assertEquals(kernel.addressOf(bytes), address);
  bytes[5] = 0xab;
  const memory = kernel.open("/proc/self/mem", O_RDONLY);
  const read = new Uint8Array(1);
  kernel.pread(memory, read, address + 5n);
  kernel.close(memory);
  assertEquals(read[0], 0xab);
  kernel.munmap(mapping);
  assert(!isMapped(address));
});

Deno.test("LibcKernel.mmap() maps a file at an offset", () => {
  using data = file();
  const fd = kernel.open(data.path, O_RDWR);
  const offset = BigInt(2 * pageSize);
  const mapping = kernel.mmap(pageSize, BOTH, MAP_SHARED, fd, offset);
  kernel.close(fd);
  const bytes = new Uint8Array(mapping.buffer);
  assertEquals(bytes[0], 2);
  bytes[1] = 0xcd;
  assertEquals(Deno.readFileSync(data.path)[2 * pageSize + 1], 0xcd);
  kernel.munmap(mapping);
});

Deno.test("LibcKernel.mmap() maps more than 4 GiB", () => {
  const length = 5 * 2 ** 30;
  const mapping = kernel.mmap(length, BOTH, ANYWHERE | MAP_NORESERVE, -1, 0n);
  const bytes = new Uint8Array(mapping.buffer);
  assertEquals(bytes.length, length);
  bytes[length - 1] = 7;
  assertEquals([bytes[length - 1], bytes[length - 1 - 2 ** 32]], [7, 0]);
  assert(isMapped(mapping.address + BigInt(length - 1)));
  kernel.munmap(mapping);
  assert(!isMapped(mapping.address + BigInt(length - 1)));
});

Deno.test("LibcKernel.mmap() throws the errno when it fails", () => {
  using data = file();
  const map = (flags: number, fd: number, offset = 0n, length = pageSize) =>
    kernel.mmap(length, BOTH, flags, fd, offset);
  const [readable, writable] = [O_RDONLY, O_WRONLY]
    .map((flags) => kernel.open(data.path, flags)) as [number, number];
  errno("EINVAL", () => map(ANYWHERE, -1, 0n, 0));
  errno("EINVAL", () => map(MAP_ANONYMOUS, -1));
  errno("EBADF", () => map(MAP_SHARED, -1));
  errno("EBADF", () => map(MAP_SHARED, 999_999));
  errno("EACCES", () => map(MAP_SHARED, readable));
  errno("EACCES", () => map(MAP_PRIVATE, writable));
  errno("EINVAL", () => map(MAP_PRIVATE, readable, 1n));
  errno("ENOMEM", () => map(ANYWHERE, -1, 0n, 2 ** 52));
  kernel.close(readable);
  kernel.close(writable);
});

Deno.test("LibcKernel.munmap() makes every view empty", () => {
  const mapping = anonymous(pageSize);
  const { buffer } = mapping;
  const bytes = new Uint8Array(buffer);
  const part = new Uint32Array(buffer, 16, 4);
  const view = new DataView(buffer);
  bytes.fill(0xff);
  kernel.munmap(mapping);
  assert(buffer.detached);
  assertEquals([buffer.byteLength, bytes.length, part.length], [0, 0, 0]);
  assertEquals([bytes[0], part[0]], [undefined, undefined]);
  bytes[0] = 1;
  assertThrows(() => view.getUint8(0), TypeError);
  assertThrows(() => new Uint8Array(buffer), TypeError);
});

Deno.test("LibcKernel.munmap() detaches the buffer, and can be repeated, when it fails", () => {
  const mapping = anonymous(pageSize);
  const wrong = { ...mapping, address: mapping.address + 1n };
  errno("EINVAL", () => kernel.munmap(wrong));
  assert(mapping.buffer.detached);
  assert(isMapped(mapping.address));
  errno("EINVAL", () => kernel.munmap(wrong));
  kernel.munmap(mapping);
  assert(!isMapped(mapping.address));
});

/**
 * A script that maps a page, unmaps it in a given way, and uses a view of it.
 */
function staleView(unmap: string): string {
  return `
    import { LibcKernel } from "/lib/kernel/libc.ts";
    const kernel = new LibcKernel();
    const mapping = kernel.mmap(4096, 3, 0x21, -1, 0n);
    const bytes = new Uint32Array(mapping.buffer);
    let sum = 0;
    const use = (i: number) => {
      bytes[i & 1023] = i;
      sum += bytes[i & 1023]! | 0;
    };
    for (let i = 0; i < 200_000; i++) use(i); // until it is optimised
    ${unmap}
    for (let i = 0; i < 200_000; i++) use(i);
    console.log(bytes.length, bytes[0]);`;
}

Deno.test("LibcKernel.munmap() lets the process live when a stale view is used", async () => {
  const { code, signal, stdout, stderr } = await runScript(
    staleView("kernel.munmap(mapping);"),
    ["--allow-ffi"],
  );
  assertEquals(
    { code, signal, stdout, stderr },
    { code: 0, signal: null, stdout: "0 undefined\n", stderr: "" },
  );
});

Deno.test("munmap() of libc ends the process when a stale view is used", async () => {
  // Shows that the test above can fail.
  const { signal, stdout } = await runScript(
    staleView(`
      Deno.dlopen("libc.so.6", {
        munmap: { parameters: ["usize", "usize"], result: "i32" },
      }).symbols.munmap(mapping.address, 4096n);`),
    ["--allow-ffi"],
  );
  assertEquals({ signal, stdout }, { signal: "SIGSEGV", stdout: "" });
});
