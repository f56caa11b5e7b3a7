import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { VFIO_DEVICE_RESET } from "../../../lib/uapi/vfio/all.ts";
import { stubKernel } from "../stub_kernel.ts";

Deno.test("intercept() passes every call with its arguments to `around`", async () => {
  const answers: Partial<Kernel> = {
    open: () => 7,
    ioctlAsync: () => Promise.resolve(3),
    readdir: () => ["a"],
    close: () => {},
  };
  const calls: KernelCall[] = [];
  const kernel = intercept(stubKernel(answers), (call, proceed) => {
    calls.push(call);
    return proceed();
  });
  assertEquals(kernel.open("/dev/iommu", O_RDWR), 7);
  assertEquals(await kernel.ioctlAsync(7, VFIO_DEVICE_RESET, 1n), 3);
  assertEquals(kernel.readdir("/sys"), ["a"]);
  kernel.close(7);
  assertEquals(calls, [
    { method: "open", args: ["/dev/iommu", O_RDWR] },
    { method: "ioctlAsync", args: [7, VFIO_DEVICE_RESET, 1n] },
    { method: "readdir", args: ["/sys"] },
    { method: "close", args: [7] },
  ]);
});

Deno.test("intercept() makes no call when `around` answers in its place", () => {
  const kernel = intercept(stubKernel(), () => "instead");
  assertEquals(kernel.readFile("/etc/hostname"), "instead");
});

Deno.test("intercept() makes the call each time that `around` proceeds", () => {
  let opened = 0;
  const kernel = intercept(
    stubKernel({ open: () => ++opened }),
    (_, proceed) => [proceed(), proceed()],
  );
  assertEquals(kernel.open("/", 0) as unknown, [1, 2]);
});

Deno.test("intercept() passes on an error when it is thrown or rejected", async () => {
  const error = new KernelError(errnoNumber("EIO"), "x");
  const kernel = intercept(
    stubKernel({
      open() {
        throw error;
      },
      closeAsync: () => Promise.reject(error),
    }),
    (_, proceed) => proceed(),
  );
  assertThrows(() => kernel.open("/", 0), KernelError, "EIO");
  await assertRejects(() => kernel.closeAsync(7), KernelError, "EIO");
});

Deno.test("intercept() passes on members that make no system call", () => {
  const kernel = intercept(
    stubKernel({ pageSize: 65536, addressOf: () => 0x1000n }),
    () => {
      throw new Error("intercepted");
    },
  );
  assertEquals(kernel.pageSize, 65536);
  assertEquals(kernel.addressOf(new Uint8Array(1)), 0x1000n);
});

Deno.test("intercept() lets a kernel use its private members", () => {
  class Private {
    readonly #pages = 2;
    get pageSize() {
      return 4096 * this.#pages;
    }
    addressOf() {
      return BigInt(this.#pages);
    }
    readdir() {
      return this.open();
    }
    open() {
      return this.#pages;
    }
  }
  const methods: string[] = [];
  const kernel = intercept(
    new Private() as unknown as Kernel,
    ({ method }, proceed) => {
      methods.push(method);
      return proceed();
    },
  );
  assertEquals(kernel.pageSize, 8192);
  assertEquals(kernel.addressOf(new Uint8Array(1)), 2n);
  assertEquals(kernel.readdir("/") as unknown, 2);
  // A method's calls on its own kernel are not intercepted.
  assertEquals(methods, ["readdir"]);
});
