import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { KernelError } from "../../lib/kernel/errno.ts";
import { faulty } from "../../lib/kernel/fault.ts";
import { VFIO_DEVICE_RESET } from "../../lib/uapi/vfio.ts";
import { stubKernel } from "./stub_kernel.ts";

/** A kernel that keeps what it really did. */
function recording() {
  const done: string[] = [];
  const kernel = stubKernel({
    open: (path) => done.push(`open ${path}`),
    ioctl: (fd) => done.push(`ioctl ${fd}`),
    ioctlAsync: (fd) => Promise.resolve(done.push(`ioctlAsync ${fd}`)),
    close: (fd) => void done.push(`close ${fd}`),
    closeAsync: (fd) => Promise.resolve(void done.push(`closeAsync ${fd}`)),
    writeFileAsync: (path) => Promise.resolve(void done.push(`write ${path}`)),
    addressOf: () => 0x1000n,
  });
  return { kernel, done };
}

Deno.test("faulty() only records when there is no fault", async () => {
  const { kernel, done } = recording();
  const { kernel: failing, calls } = faulty(kernel);
  failing.open("/a", 0);
  await failing.ioctlAsync(1, VFIO_DEVICE_RESET);
  failing.close(1);
  assertEquals(done, ["open /a", "ioctlAsync 1", "close 1"]);
  assertEquals(calls, [
    { method: "open", args: ["/a", 0] },
    { method: "ioctlAsync", args: [1, VFIO_DEVICE_RESET] },
    { method: "close", args: [1] },
  ]);
});

for (const nth of [1, 2, 3]) {
  Deno.test(`faulty() fails call ${nth} alone and does not make it`, () => {
    const { kernel, done } = recording();
    const { kernel: failing, calls } = faulty(kernel, { nth, code: "EBUSY" });
    const failed: number[] = [];
    for (const call of [1, 2, 3]) {
      try {
        failing.open(`/${call}`, 0);
      } catch (error) {
        assertInstanceOf(error, KernelError);
        assertEquals([error.code, error.syscall], ["EBUSY", "open"]);
        failed.push(call);
      }
    }
    assertEquals(failed, [nth]);
    assertEquals(
      done,
      ["open /1", "open /2", "open /3"].toSpliced(nth - 1, 1),
    );
    assertEquals(calls.length, 3);
  });
}

Deno.test("faulty() rejects, and throws nothing at once, when the call is async", async () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "ENODEV" });
  const promise = failing.writeFileAsync("/sys/unbind", "x");
  assertInstanceOf(promise, Promise);
  const error = await assertRejects(() => promise, KernelError);
  assertEquals([error.code, error.syscall], ["ENODEV", "writeFileAsync"]);
  assertEquals(done, []);
});

Deno.test("faulty() carries out a close that it fails", () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "EIO" });
  assertThrows(() => failing.close(7), KernelError, "EIO");
  assertEquals(done, ["close 7"]);
});

Deno.test("faulty() carries out an async close that it fails", async () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "EIO" });
  await assertRejects(() => failing.closeAsync(7), KernelError, "EIO");
  assertEquals(done, ["closeAsync 7"]);
});

Deno.test("faulty() does not count what asks nothing of the system", () => {
  const { kernel } = recording();
  const { kernel: failing, calls } = faulty(kernel, { nth: 1, code: "EIO" });
  assertEquals(failing.pageSize, 4096);
  assertEquals(failing.addressOf(new Uint8Array(1)), 0x1000n);
  assertEquals(calls, []);
  assertThrows(() => failing.ioctl(1, VFIO_DEVICE_RESET), KernelError, "EIO");
});

Deno.test("faulty() is a TypeError when the errno has no such name", () => {
  const { kernel } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "EWHAT" });
  assertThrows(() => failing.open("/a", 0), TypeError, "EWHAT");
});
