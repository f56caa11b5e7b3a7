import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { Fd } from "../../../lib/kernel/fd.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { VFIO_DEVICE_RESET } from "../../../lib/uapi/vfio/all.ts";
import { stubKernel } from "../stub_kernel.ts";

/** A kernel that records closed descriptors. */
function closing() {
  const closed: number[] = [];
  const kernel = stubKernel({
    open: () => 7,
    close: (fd) => void closed.push(fd),
    closeAsync: (fd) => Promise.resolve(void closed.push(fd)),
  });
  return { kernel, closed };
}

Deno.test("Fd.open() opens the path with the flags and owns the result", () => {
  const opened: unknown[] = [];
  const kernel = stubKernel({
    open: (path, flags) => {
      opened.push(path, flags);
      return 7;
    },
  });
  assertEquals(Fd.open(kernel, "/dev/iommu", O_RDWR).number, 7);
  assertEquals(opened, ["/dev/iommu", O_RDWR]);
});

Deno.test("Fd is closed once when it is closed repeatedly, by any method", async () => {
  const { kernel, closed } = closing();
  {
    using fd = Fd.adopt(kernel, 7);
    fd.close();
    assertEquals(fd.number, -1);
    fd.close();
    await fd.closeAsync();
  }
  assertEquals(closed, [7]);
  {
    using fd = Fd.adopt(kernel, 8);
    const first = fd.closeAsync();
    assertEquals(fd.number, -1);
    fd.close();
    await Promise.all([first, fd.closeAsync()]);
  }
  assertEquals(closed, [7, 8]);
});

Deno.test("Fd is closed at the end of a using block", () => {
  const { kernel, closed } = closing();
  {
    using fd = Fd.open(kernel, "/dev/iommu", O_RDWR);
    assertEquals([fd.number, closed.length], [7, 0]);
  }
  assertEquals(closed, [7]);
});

Deno.test("Fd.close() closes descriptor 0", () => {
  const { kernel, closed } = closing();
  Fd.adopt(kernel, 0).close();
  assertEquals(closed, [0]);
});

Deno.test("Fd.close() does not repeat the call when the kernel refuses", async () => {
  const closed: number[] = [];
  const refuse = (fd: number) => {
    closed.push(fd);
    throw new KernelError(errnoNumber("EIO"), "close");
  };
  const kernel = stubKernel({
    close: refuse,
    // deno-lint-ignore require-await
    closeAsync: async (fd) => refuse(fd),
  });
  const fd = Fd.adopt(kernel, 7);
  assertThrows(() => fd.close(), KernelError, "EIO");
  fd.close();
  const other = Fd.adopt(kernel, 8);
  await assertRejects(() => other.closeAsync(), KernelError, "EIO");
  await other.closeAsync();
  assertEquals(closed, [7, 8]);
});

Deno.test("Fd.ioctl() and ioctlAsync() pass the number, and -1 when it is closed", async () => {
  const calls: unknown[][] = [];
  const kernel = stubKernel({
    ioctl: (...args) => calls.push(args),
    ioctlAsync: (...args) => Promise.resolve(calls.push(args)),
    close: () => {},
  });
  const fd = Fd.adopt(kernel, 7);
  const bytes = new Uint8Array(4);
  assertEquals(fd.ioctl(VFIO_DEVICE_RESET, bytes), 1);
  assertEquals(await fd.ioctlAsync(VFIO_DEVICE_RESET, 5n), 2);
  fd.close();
  fd.ioctl(VFIO_DEVICE_RESET);
  assertEquals(calls, [
    [7, VFIO_DEVICE_RESET, bytes],
    [7, VFIO_DEVICE_RESET, 5n],
    [-1, VFIO_DEVICE_RESET, undefined],
  ]);
});
