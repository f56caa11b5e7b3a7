import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import { traced } from "../../../lib/kernel/trace.ts";
import {
  VFIO_CHECK_EXTENSION,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio_device_attach_iommufd_pt,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID,
  VFIO_DEVICE_FEATURE,
  vfio_device_feature,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_GET_GFX_DMABUF,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  vfio_device_gfx_plane_info,
  VFIO_DEVICE_IOEVENTFD,
  vfio_device_ioeventfd,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_DEVICE_RESET,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  vfio_group_status,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
} from "../../../lib/uapi/vfio/all.ts";
import { stubKernel } from "../stub_kernel.ts";

function tracing(methods: Partial<Kernel>) {
  const lines: string[] = [];
  return { kernel: traced(stubKernel(methods), (l) => lines.push(l)), lines };
}

function refused(code: string, syscall = "x"): KernelError {
  return new KernelError(errnoNumber(code), syscall);
}

Deno.test("traced() prints a call with its arguments and its result", () => {
  const { kernel, lines } = tracing({
    open: () => 7,
    pread: () => 4,
    readdir: () => ["a", "b"],
    readFile: () => "0x8086\n",
    writeFile: () => {},
    eventfd: () => 8,
    stat: () => ({ mode: 0o644, uid: 0, gid: 0, device: "1:3" }),
  });
  assertEquals(kernel.open("/dev/vfio/vfio", 2), 7);
  kernel.pread(7, new Uint8Array(4), 0x1_0000_0000n);
  kernel.readdir("/sys");
  kernel.readFile("/sys/vendor");
  kernel.writeFile("/sys/driver_override", "\n");
  kernel.eventfd(0, 2048);
  kernel.stat("/dev/null");
  assertEquals(lines, [
    'open("/dev/vfio/vfio", 2) = 7',
    "pread(7, [4 bytes], 0x100000000) = 4",
    'readdir("/sys") = ["a", "b"]',
    'readFile("/sys/vendor") = "0x8086\\n"',
    'writeFile("/sys/driver_override", "\\n") = 0',
    "eventfd(0, 2048) = 8",
    'stat("/dev/null") = {mode=420, uid=0, gid=0, device="1:3"}',
  ]);
});

Deno.test("traced() prints ioeventfds, planes and dma-bufs decoded", () => {
  const { kernel, lines } = tracing({
    ioctl(_, { name }, argument) {
      if (name !== "VFIO_DEVICE_QUERY_GFX_PLANE") return 9;
      vfio_device_gfx_plane_info.encode(argument as Uint8Array, {
        argsz: 64,
        flags: 4,
        drm_format: 0x3432_5258,
        width: 640,
        height: 480,
        stride: 2560,
        region_index: 16,
      });
      return 0;
    },
  });
  const data = { flags: 4, offset: 0x60n, data: 1n, fd: 30 };
  kernel.ioctl(7, VFIO_DEVICE_IOEVENTFD, vfio_device_ioeventfd.alloc(data));
  const plane = vfio_device_gfx_plane_info.alloc({ flags: 4 });
  kernel.ioctl(7, VFIO_DEVICE_QUERY_GFX_PLANE, plane);
  kernel.ioctl(7, VFIO_DEVICE_GET_GFX_DMABUF, new Uint8Array([3, 0, 0, 0]));
  assertStringIncludes(
    lines[0]!,
    "ioctl(7, VFIO_DEVICE_IOEVENTFD, {argsz=32, flags=4, offset=0x60, " +
      "data=0x1, fd=30, reserved=0}) = 9",
  );
  assertStringIncludes(lines[1]!, "VFIO_DEVICE_QUERY_GFX_PLANE, {argsz=64, ");
  assertStringIncludes(lines[1]!, "drm_format=875713112");
  assertStringIncludes(lines[1]!, "region_index=16");
  assertEquals(lines[2], "ioctl(7, VFIO_DEVICE_GET_GFX_DMABUF, [3]) = 9");
});

Deno.test("traced() prints the length of memory, not its contents", () => {
  const mapping = {
    address: 0x7f00_0000_0000n,
    length: 4096,
    buffer: new ArrayBuffer(4096),
  };
  const { kernel, lines } = tracing({ mmap: () => mapping, munmap: () => {} });
  assertStrictEquals(kernel.mmap(4096, 3, 1, 7, 0n), mapping);
  kernel.munmap(mapping);
  const text = "{address=0x7f0000000000, length=4096, buffer=[4096 bytes]}";
  assertEquals(lines, [
    `mmap(4096, 3, 1, 7, 0x0) = ${text}`,
    `munmap(${text}) = 0`,
  ]);
});

Deno.test("traced() prints an ioctl's name, and its argument by its type", () => {
  const { kernel, lines } = tracing({ ioctl: () => 1 });
  kernel.ioctl(7, VFIO_GET_API_VERSION);
  kernel.ioctl(7, VFIO_CHECK_EXTENSION, 3n);
  const fd = new Uint8Array(new Int32Array([-1]).buffer);
  kernel.ioctl(7, VFIO_GROUP_SET_CONTAINER, fd);
  const name = new TextEncoder().encode("0000:01:00.0\0\0garbage");
  kernel.ioctl(7, VFIO_GROUP_GET_DEVICE_FD, name);
  const u32 = new Uint8Array([0xff, 0xff, 0xff, 0xff]);
  kernel.ioctl(7, { name: "U32", request: 1, argument: "u32" }, u32);
  assertEquals(lines, [
    "ioctl(7, VFIO_GET_API_VERSION) = 1",
    "ioctl(7, VFIO_CHECK_EXTENSION, 3) = 1",
    "ioctl(7, VFIO_GROUP_SET_CONTAINER, [-1]) = 1",
    'ioctl(7, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0") = 1',
    "ioctl(7, U32, [4294967295]) = 1",
  ]);
});

Deno.test("traced() prints an ioctl's struct before and after", () => {
  const { kernel, lines } = tracing({
    ioctl(_fd, _operation, argument) {
      vfio_group_status.encode(argument as Uint8Array, { flags: 3 });
      return 0;
    },
  });
  kernel.ioctl(7, VFIO_GROUP_GET_STATUS, vfio_group_status.alloc());
  assertEquals(lines, [
    "ioctl(7, VFIO_GROUP_GET_STATUS, {argsz=8, flags=0}) = " +
    "0 {argsz=8, flags=3}",
  ]);
});

Deno.test("traced() decodes a struct that lies inside a larger buffer", () => {
  const { kernel, lines } = tracing({ ioctl: () => 0 });
  const buffer = new Uint8Array(64).fill(0xff);
  const argument = buffer.subarray(16, 48);
  vfio_iommu_type1_dma_map.encode(argument, { flags: 3, iova: 1n << 40n });
  kernel.ioctl(7, VFIO_IOMMU_MAP_DMA, argument);
  const text = "{argsz=32, flags=3, vaddr=0x0, iova=0x10000000000, size=0x0}";
  assertEquals(lines, [`ioctl(7, VFIO_IOMMU_MAP_DMA, ${text}) = 0 ${text}`]);
});

Deno.test("traced() prints the elements behind a struct, as many as it counts", () => {
  const { kernel, lines } = tracing({ ioctl: () => 0 });
  const layout = vfio_pci_hot_reset;
  const argument = layout.alloc({ count: 2 }, 12);
  new Int32Array(argument.buffer, layout.size).set([7, 8, 9]);
  kernel.ioctl(7, VFIO_DEVICE_PCI_HOT_RESET, argument);
  // More than there are.
  kernel.ioctl(
    7,
    VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
    vfio_pci_hot_reset_info.alloc({ count: 3 }, 8),
  );
  const fds = "{argsz=24, flags=0, count=2, group_fds=[7, 8]}";
  const info = "{argsz=20, flags=0, count=3, devices=[{group_id=0, devid=0, " +
    "segment=0, bus=0, devfn=0}]}";
  assertEquals(lines, [
    `ioctl(7, VFIO_DEVICE_PCI_HOT_RESET, ${fds}) = 0 ${fds}`,
    `ioctl(7, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, ${info}) = 0 ${info}`,
  ]);
});

Deno.test("traced() prints 0 for members that a shorter struct lacks", () => {
  const { kernel, lines } = tracing({ ioctl: () => 0 });
  const argsz = VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID;
  const argument = vfio_device_attach_iommufd_pt.alloc({ argsz, pt_id: 5 })
    .subarray(0, argsz);
  kernel.ioctl(7, VFIO_DEVICE_ATTACH_IOMMUFD_PT, argument);
  const text = "{argsz=12, flags=0, pt_id=5, pasid=0}";
  assertEquals(lines, [
    `ioctl(7, VFIO_DEVICE_ATTACH_IOMMUFD_PT, ${text}) = 0 ${text}`,
  ]);
});

Deno.test("traced() prints the errno when a call fails, and throws the error", () => {
  const error = refused("ENOENT");
  const { kernel, lines } = tracing({
    open() {
      throw error;
    },
    ioctl() {
      throw refused("EBUSY");
    },
  });
  assertStrictEquals(assertThrows(() => kernel.open("/dev/iommu", 2)), error);
  assertThrows(() => kernel.ioctl(7, VFIO_DEVICE_RESET), KernelError, "EBUSY");
  assertEquals(lines, [
    'open("/dev/iommu", 2) = -1 ENOENT',
    "ioctl(7, VFIO_DEVICE_RESET) = -1 EBUSY",
  ]);
});

Deno.test("traced() prints an error when it is not an errno, too", () => {
  const { kernel, lines } = tracing({
    open() {
      throw new TypeError("A path has no NUL");
    },
  });
  assertThrows(() => kernel.open("a\0b", 0), TypeError);
  assertEquals(lines, [
    'open("a\\u0000b", 0) = TypeError: A path has no NUL',
  ]);
});

Deno.test("traced() prints an async call when it has ended", async () => {
  const answers = {
    close: Promise.withResolvers<void>(),
    reset: Promise.withResolvers<number>(),
    poll: Promise.withResolvers<number[]>(),
  };
  const { kernel, lines } = tracing({
    closeAsync: () => answers.close.promise,
    ioctlAsync: () => answers.reset.promise,
    pollAsync: () => answers.poll.promise,
  });
  const done = Promise.all([
    kernel.closeAsync(7),
    kernel.pollAsync([{ fd: 3, events: 1 }, { fd: 4, events: 5 }], -1),
    assertRejects(
      () => kernel.ioctlAsync(7, VFIO_DEVICE_RESET),
      KernelError,
      "EAGAIN",
    ),
  ]);
  assertEquals(lines, []);
  answers.reset.reject(refused("EAGAIN"));
  await answers.reset.promise.catch(() => {});
  answers.poll.resolve([1, 0]);
  answers.close.resolve();
  assertEquals((await done)[1], [1, 0]);
  assertEquals(lines, [
    "ioctlAsync(7, VFIO_DEVICE_RESET) = -1 EAGAIN",
    "pollAsync([{fd=3, events=1}, {fd=4, events=5}], -1) = [1, 0]",
    "closeAsync(7) = 0",
  ]);
});

Deno.test("traced() prints an async ioctl's struct before and after", async () => {
  const { kernel, lines } = tracing({
    ioctlAsync(_fd, _operation, argument) {
      vfio_group_status.encode(argument as Uint8Array, { flags: 1 });
      return Promise.resolve(0);
    },
  });
  await kernel.ioctlAsync(7, VFIO_GROUP_GET_STATUS, vfio_group_status.alloc());
  assertEquals(lines, [
    "ioctlAsync(7, VFIO_GROUP_GET_STATUS, {argsz=8, flags=0}) = " +
    "0 {argsz=8, flags=1}",
  ]);
});

Deno.test("traced() returns the result of a call when print throws", async () => {
  const kernel = traced(
    stubKernel({
      open: () => 7,
      closeAsync: () => Promise.resolve(),
      close: () => {
        throw refused("EBADF", "close");
      },
    }),
    () => {
      throw new Error("EPIPE");
    },
  );
  assertEquals(kernel.open("/dev/vfio/vfio", 2), 7);
  assertEquals(await kernel.closeAsync(7), undefined);
  assertEquals(assertThrows(() => kernel.close(7), KernelError).code, "EBADF");
});

Deno.test("traced() prints no VF token", () => {
  const { kernel, lines } = tracing({ ioctl: () => 1 });
  const name = "0000:01:00.0 vf_token=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\0";
  kernel.ioctl(7, VFIO_GROUP_GET_DEVICE_FD, new TextEncoder().encode(name));
  const feature = new Uint8Array(24).fill(0xa5, 8);
  const view = new DataView(feature.buffer);
  view.setUint32(0, 24, true);
  view.setUint32(4, VFIO_DEVICE_FEATURE_SET, true);
  kernel.ioctl(7, VFIO_DEVICE_FEATURE, feature);
  assertEquals(
    lines[0],
    'ioctl(7, VFIO_GROUP_GET_DEVICE_FD, "0000:01:00.0 vf_token=…") = 1',
  );
  assertEquals(
    lines[1],
    'ioctl(7, VFIO_DEVICE_FEATURE, {feature="SET PCI_VF_TOKEN"}) = 1 ' +
      '{feature="SET PCI_VF_TOKEN"}',
  );
});

Deno.test("traced() prints which feature is asked of a device", () => {
  const { kernel, lines } = tracing({
    ioctl: (_fd, _operation, argument) => {
      const bytes = argument as Uint8Array;
      if (bytes.length > 8) bytes[8] = 3;
      return 0;
    },
  });
  const ask = (flags: number, room = 0) =>
    kernel.ioctl(
      7,
      VFIO_DEVICE_FEATURE,
      vfio_device_feature.alloc({ flags }, room),
    );
  ask(
    VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET |
      VFIO_DEVICE_FEATURE_MIGRATION,
  );
  ask(VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 8);
  ask(VFIO_DEVICE_FEATURE_SET | 99, 8);
  assertEquals(lines, [
    'ioctl(7, VFIO_DEVICE_FEATURE, {feature="PROBE GET MIGRATION"}) = 0 ' +
    '{feature="PROBE GET MIGRATION"}',
    "ioctl(7, VFIO_DEVICE_FEATURE, " +
    '{feature="GET MIG_DEVICE_STATE", data={device_state=0, data_fd=0}}) = 0 ' +
    '{feature="GET MIG_DEVICE_STATE", data={device_state=3, data_fd=0}}',
    'ioctl(7, VFIO_DEVICE_FEATURE, {feature="SET 99"}) = 0 ' +
    '{feature="SET 99"}',
  ]);
});
