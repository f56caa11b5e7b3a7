import { assertEquals, assertThrows } from "@std/assert";
import { IoEventFd } from "../../../lib/device/regions/io_eventfd.ts";
import { Resources } from "../../../lib/device/resources.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { vfio_device_ioeventfd } from "../../../lib/uapi/vfio/all.ts";
import { failure } from "../../failures.ts";
import { stubKernel } from "../stub_kernel.ts";

function setUp(errnos: (string | undefined)[] = []) {
  const calls: string[] = [];
  const resources = new Resources();
  const kernel: Kernel = stubKernel({
    eventfd: () => 30,
    close: (fd) => void calls.push(`close ${fd}`),
    write(fd, from) {
      calls.push(`write ${fd}`);
      return from.length;
    },
    ioctl(fd, _, argument) {
      const { flags, offset, data, fd: eventfd } = vfio_device_ioeventfd
        .decode(argument as Uint8Array);
      calls.push(`${fd}: ${flags} ${offset} ${data} ${eventfd}`);
      const errno = errnos.shift();
      if (errno === undefined) return 0;
      throw new KernelError(errnoNumber(errno), "VFIO_DEVICE_IOEVENTFD");
    },
  });
  const device = {
    name: "gpu",
    kernel,
    fd: 7,
    hold: resources.hold.bind(resources),
  };
  const region = { index: 2, name: "BAR 2", size: 4096, start: 1n << 41n };
  return {
    calls,
    resources,
    make: (
      offset: number,
      value: number | bigint,
      options?: ConstructorParameters<typeof IoEventFd>[4],
    ) => new IoEventFd(device, region, offset, value, options),
  };
}

Deno.test("IoEventFd connects a new eventfd, and closes it", () => {
  const { calls, make } = setUp();
  const made = make(8, 0xffff_ffff);
  assertEquals(made.fd, 30);
  made.signal();
  made[Symbol.dispose]();
  made[Symbol.dispose]();
  assertEquals(calls, [
    "7: 4 2199023255560 4294967295 30",
    "write 30",
    "7: 4 2199023255560 4294967295 -1",
    "close 30",
  ]);
});

Deno.test("IoEventFd does not close the caller's eventfd", async () => {
  const { calls, make, resources } = setUp();
  const made = make(16, 1n << 63n, { width: 8, fd: 9 });
  assertEquals([made.fd, made.width, made.value], [9, 8, 1n << 63n]);
  assertEquals(await resources.release(), []);
  made[Symbol.dispose]();
  assertEquals(calls.map((call) => call.split(" ").at(-1)), ["9", "-1"]);
  failure("DETACHED", () => made.signal());
});

for (
  const [offset, value, width] of [
    [2, 0, 4],
    [4096, 0, 1],
    [-4, 0, 4],
    [4092, 0n, 8],
    [0, 256, 1],
    [0, 65536n, 2],
    [0, -1, 4],
    [0, 0.5, 4],
    [0, NaN, 4],
    [0, 1n << 64n, 8],
  ] as const
) {
  Deno.test(`IoEventFd throws a RangeError for ${value} of ${width} bytes at ${offset}`, () => {
    const { calls, make } = setUp();
    assertThrows(() => make(offset, value, { width }), RangeError);
    assertEquals(calls, []);
  });
}

for (
  const [errno, code] of [
    ["EINVAL", "NOT_SUPPORTED"],
    ["ENOTTY", "NOT_SUPPORTED"],
    ["EEXIST", "KERNEL"],
    ["ENOSPC", "KERNEL"],
    ["EBADF", "KERNEL"],
  ] as const
) {
  Deno.test(`IoEventFd throws ${code} and closes its eventfd when the kernel answers ${errno}`, async () => {
    const { calls, make, resources } = setUp([errno]);
    const error = failure(code, () => make(0, 1));
    assertEquals((error.cause as KernelError).code, errno);
    assertEquals(error.device, "gpu");
    assertEquals(calls.at(-1), "close 30");
    assertEquals(await resources.release(), []);
    assertEquals(calls.length, 2);
  });
}

Deno.test("IoEventFd can be disposed of again when the kernel refused", () => {
  const { calls, make } = setUp([undefined, "ENOMEM"]);
  const made = make(0, 1);
  failure("KERNEL", () => made[Symbol.dispose]());
  made.signal();
  made[Symbol.dispose]();
  assertEquals(calls.at(-1), "close 30");
});

Deno.test("IoEventFd is gone when somebody else took it away", () => {
  const { calls, make } = setUp([undefined, "ENODEV"]);
  make(0, 1)[Symbol.dispose]();
  assertEquals(calls.at(-1), "close 30");
});
