import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { errnosOf } from "../../kernels/errnos_of.ts";
import { faulty, Hang } from "../../kernels/fault.ts";
import { O_CREAT } from "../../../lib/uapi/linux/fcntl.ts";
import {
  VFIO_DEVICE_RESET,
  VFIO_IOMMU_MAP_DMA,
} from "../../../lib/uapi/vfio/all.ts";
import { stubKernel } from "../stub_kernel.ts";

/** A kernel that records the calls that were made. */
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
  Deno.test(`faulty() makes only call ${nth} fail, and does not carry it out`, () => {
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

Deno.test("faulty() rejects, and does not throw, when the call is async", async () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "ENODEV" });
  const promise = failing.writeFileAsync("/sys/unbind", "x");
  assertInstanceOf(promise, Promise);
  const error = await assertRejects(() => promise, KernelError);
  assertEquals([error.code, error.syscall], ["ENODEV", "writeFileAsync"]);
  assertEquals(done, []);
});

Deno.test("faulty() carries out a close when it fails", () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "EIO" });
  assertThrows(() => failing.close(7), KernelError, "EIO");
  assertEquals(done, ["close 7"]);
});

Deno.test("faulty() carries out an async close when it fails", async () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "EIO" });
  await assertRejects(() => failing.closeAsync(7), KernelError, "EIO");
  assertEquals(done, ["closeAsync 7"]);
});

Deno.test("faulty() does not count members that make no system call", () => {
  const { kernel } = recording();
  const { kernel: failing, calls } = faulty(kernel, { nth: 1, code: "EIO" });
  assertEquals(failing.pageSize, 4096);
  assertEquals(failing.addressOf(new Uint8Array(1)), 0x1000n);
  assertEquals(calls, []);
  assertThrows(() => failing.ioctl(1, VFIO_DEVICE_RESET), KernelError, "EIO");
});

Deno.test("faulty() throws a TypeError when the errno has no such name", () => {
  const { kernel } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, code: "EWHAT" });
  assertThrows(() => failing.open("/a", 0), TypeError, "EWHAT");
});

Deno.test("faulty() carries out a call when it fails with `done`", async () => {
  const { kernel, done } = recording();
  const fault = { nth: 1, code: "EIO", done: true };
  assertThrows(() => faulty(kernel, fault).kernel.open("/a", 0), KernelError);
  const { kernel: failing } = faulty(kernel, fault);
  await assertRejects(() => failing.writeFileAsync("/b", "x"), KernelError);
  assertEquals(done, ["open /a", "write /b"]);
});

Deno.test("faulty() carries out a hanging async call when it is released", async () => {
  const { kernel, done } = recording();
  const hang = new Hang();
  const { kernel: failing } = faulty(kernel, { nth: 1, hang });
  const hanging = failing.writeFileAsync("/sys/unbind", "x");
  await hang.reached;
  await failing.closeAsync(3);
  assertEquals(done, ["closeAsync 3"]);
  hang.release();
  await hanging;
  assertEquals(done, ["closeAsync 3", "write /sys/unbind"]);
});

Deno.test("faulty() throws a TypeError when a synchronous call should hang", () => {
  const { kernel, done } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, hang: new Hang() });
  assertThrows(() => failing.open("/a", 0), TypeError, "holds the event loop");
  assertEquals(done, []);
});

Deno.test("faulty() carries out a part of a call when it is cut short", () => {
  const fill = (bytes: Uint8Array) => bytes.fill(7).length;
  const kernel = stubKernel({
    read: (_, into) => fill(into),
    write: (_, from) => from.length,
    pread: (_, into, offset) => fill(into) + Number(offset),
    pwrite: (_, from, offset) => from.length + Number(offset),
    readFile: () => "vfio-pci\n",
  });
  const short = () => faulty(kernel, { nth: 1, bytes: 2 }).kernel;
  const bytes = new Uint8Array(4);
  assertEquals(short().read(3, bytes), 2);
  assertEquals([...bytes], [7, 7, 0, 0]);
  assertEquals(short().write(3, bytes), 2);
  assertEquals(short().pread(3, bytes, 100n), 102);
  assertEquals(short().pwrite(3, bytes, 100n), 102);
  assertEquals(short().readFile("/a"), "vf");
});

Deno.test("faulty() throws a TypeError when a call without parts should be cut short", () => {
  const { kernel } = recording();
  const { kernel: failing } = faulty(kernel, { nth: 1, bytes: 2 });
  assertThrows(() => failing.open("/a", 0), TypeError, "all or nothing");
});

Deno.test("errnosOf() returns the errnos of each call", () => {
  const ioctl = errnosOf({ method: "ioctl", args: [3, VFIO_IOMMU_MAP_DMA] });
  assertEquals(ioctl, [
    "EACCES",
    "EBUSY",
    "EEXIST",
    "EFAULT",
    "EINVAL",
    "ENOMEM",
    "ENOSPC",
    "EOVERFLOW",
    "EPERM",
  ]);
  assertEquals(errnosOf({ method: "closeAsync", args: [3] }), ["EINTR", "EIO"]);
  const written = (path: string) =>
    errnosOf({ method: "writeFileAsync", args: [path, "x"] });
  const attribute = written("/sys/a/power/control");
  const numvfs = written("/sys/a/sriov_numvfs");
  assertEquals(numvfs.filter((code) => !attribute.includes(code)), [
    "EAGAIN",
    "ERANGE",
  ]);
  const opened = (flags: number) =>
    errnosOf({ method: "open", args: ["/etc/a", flags] });
  const made = opened(O_CREAT).filter((code) => !opened(0).includes(code));
  assertEquals(made, [
    "EDQUOT",
    "EEXIST",
    "EIO",
    "EISDIR",
    "ENOSPC",
    "ENOTDIR",
    "EROFS",
  ]);
  for (const code of [...ioctl, ...written("/sys/bind")]) errnoNumber(code);
});

Deno.test("errnosOf() throws a TypeError when the call is unknown", () => {
  const operation = { ...VFIO_DEVICE_RESET, name: "VFIO_NO_SUCH_THING" };
  assertThrows(
    () => errnosOf({ method: "ioctl", args: [3, operation] }),
    TypeError,
    "VFIO_NO_SUCH_THING",
  );
});
