import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { type Area, Region } from "../../../lib/device/region.ts";
import { RegisterGate } from "../../../lib/device/register_gate.ts";
import { VfioError } from "../../../lib/errors.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  vfio_info_cap_header,
  vfio_region_info,
  VFIO_REGION_INFO_CAP_MSIX_MAPPABLE,
  VFIO_REGION_INFO_CAP_SPARSE_MMAP,
  vfio_region_info_cap_sparse_mmap,
  vfio_region_sparse_mmap_area,
} from "../../../lib/uapi/vfio/all.ts";
import { failure } from "../../failures.ts";
import { stubKernel } from "../stub_kernel.ts";

const READ = 1;
const WRITE = 2;
const MMAP = 4;
const CAPS = 8;

/** The offset of the region in the device's file. */
const START = 3n << 40n;

interface Options {
  size?: number;
  flags?: number;
  /** The parts that may be mapped, where the kernel restricts them. */
  sparse?: Area[];
  /** Overrides the count of those parts. */
  count?: number;
  kernel?: Partial<Kernel>;
}

/** Region 3 of a device, in memory. */
function setUp(options: Options = {}) {
  const { size = 65536, flags = READ | WRITE | MMAP } = options;
  const memory = new Uint8Array(Math.min(size, 65536));
  for (let i = 0; i < memory.length; i++) memory[i] = i;
  const accesses: string[] = [];
  const mapped: string[] = [];
  let fd = 7;
  const kernel = stubKernel({
    ioctl(_fd, _operation, argument) {
      describe(argument as Uint8Array, { ...options, size, flags });
      return 0;
    },
    pread(fd, into, offset) {
      accesses.push(`${fd}: read ${into.length} at ${offset - START}`);
      const at = Number(offset - START);
      into.set(memory.subarray(at, at + into.length));
      return into.length;
    },
    pwrite(fd, from, offset) {
      accesses.push(`${fd}: write ${from.length} at ${offset - START}`);
      memory.set(from, Number(offset - START));
      return from.length;
    },
    mmap(length, protection, flags, fd, offset) {
      mapped.push(`${fd}: ${protection} ${flags} ${length} at ${offset}`);
      return { address: 1n, length, buffer: new ArrayBuffer(length) };
    },
    munmap: ({ buffer }) => void buffer.transfer(0),
    ...options.kernel,
  });
  const device = {
    name: "gpu",
    kernel,
    gate: new RegisterGate("gpu", () => undefined),
    hold: () => () => {},
    isPresent: () => true,
    get fd() {
      if (fd < 0) throw new VfioError("DETACHED", { problem: "gone" });
      return fd;
    },
  };
  return {
    region: new Region(device, 3),
    memory,
    accesses,
    mapped,
    detach: () => fd = -1,
  };
}

/** The kernel's answer to VFIO_DEVICE_GET_REGION_INFO. */
function describe(bytes: Uint8Array, options: Options): void {
  const { index } = vfio_region_info.decode(bytes);
  assertEquals(index, 3);
  const { sparse } = options;
  const values = { index, size: BigInt(options.size!), offset: START };
  if (sparse === undefined) {
    vfio_region_info.encode(bytes, { ...values, flags: options.flags! });
    return;
  }
  // Another capability comes first, so that the chain must be followed.
  const first = vfio_region_info.size;
  const second = first + vfio_info_cap_header.size;
  const areas = second + vfio_region_info_cap_sparse_mmap.size;
  const argsz = areas + sparse.length * vfio_region_sparse_mmap_area.size;
  const fits = bytes.length >= argsz;
  const flags = options.flags! | CAPS;
  const cap_offset = fits ? first : 0;
  vfio_region_info.encode(bytes, { ...values, argsz, flags, cap_offset });
  if (!fits) return;
  const id = VFIO_REGION_INFO_CAP_MSIX_MAPPABLE;
  vfio_info_cap_header.encode(bytes, { id, next: second }, first);
  vfio_region_info_cap_sparse_mmap.encode(bytes, {
    header: { id: VFIO_REGION_INFO_CAP_SPARSE_MMAP },
    nr_areas: options.count ?? sparse.length,
  }, second);
  for (const [i, { offset, size }] of sparse.entries()) {
    vfio_region_sparse_mmap_area.encode(
      bytes,
      { offset: BigInt(offset), size: BigInt(size) },
      areas + i * vfio_region_sparse_mmap_area.size,
    );
  }
}

Deno.test("Region() has the kernel's info", () => {
  const { region } = setUp();
  const { index, size, readable, writable, mappable } = region;
  assertEquals({ index, size, readable, writable, mappable }, {
    index: 3,
    size: 65536,
    readable: true,
    writable: true,
    mappable: [{ offset: 0, size: 65536 }],
  });
  const rom = setUp({ flags: READ }).region;
  assertEquals([rom.readable, rom.writable, rom.mappable], [true, false, []]);
});

Deno.test("Region() has only the areas that can be mapped when the kernel restricts them", () => {
  const sparse = [{ offset: 0, size: 4096 }, { offset: 8192, size: 57344 }];
  assertEquals(setUp({ sparse }).region.mappable, sparse);
  assertEquals(setUp({ sparse: [] }).region.mappable, []);
});

Deno.test("Region() throws when its list of areas is cut short", () => {
  const sparse = [{ offset: 0, size: 4096 }];
  for (const count of [2, 0xffff_ffff]) {
    assertThrows(() => setUp({ sparse, count }), RangeError);
  }
});

Deno.test("Region reads and writes each width in one access, little-endian", () => {
  const { region, accesses } = setUp();
  assertEquals(region.read8(3), 0x03);
  assertEquals(region.read16(4), 0x0504);
  assertEquals(region.read32(0xf0), 0xf3f2_f1f0);
  assertEquals(region.read64(0xf0), 0xf7f6_f5f4_f3f2_f1f0n);
  region.write8(1, 0xab);
  region.write16(2, 0xabcd);
  region.write32(4, 0x89ab_cdef);
  region.write64(65528, 0x0123_4567_89ab_cdefn);
  assertEquals(region.read64(0), 0x89ab_cdef_abcd_ab00n);
  assertEquals(region.read64(65528), 0x0123_4567_89ab_cdefn);
  assertEquals(accesses, [
    "7: read 1 at 3",
    "7: read 2 at 4",
    "7: read 4 at 240",
    "7: read 8 at 240",
    "7: write 1 at 1",
    "7: write 2 at 2",
    "7: write 4 at 4",
    "7: write 8 at 65528",
    "7: read 8 at 0",
    "7: read 8 at 65528",
  ]);
});

for (const width of [8, 16, 32, 64] as const) {
  Deno.test(`Region.read${width}() and write${width}() throw a RangeError when the offset is wrong`, () => {
    const { region, accesses } = setUp();
    const bytes = width / 8;
    for (
      const offset of [
        65536,
        -bytes,
        0.5,
        NaN,
        Infinity,
        -Infinity,
        2 ** 32,
        2 ** 53,
        ...(width > 8 ? [1, 65535, 65536 - bytes + 1] : []),
      ]
    ) {
      const message = `Cannot access ${bytes} bytes at offset ${offset}: `;
      const read = `read${width}` as const;
      assertThrows(() => region[read](offset), RangeError, message);
      const write = () =>
        width === 64
          ? region.write64(offset, 0n)
          : region[`write${width}`](offset, 0);
      assertThrows(write, RangeError, message);
    }
    assertEquals(accesses, []);
  });
}

for (const width of [8, 16, 32] as const) {
  Deno.test(`Region.write${width}() throws a RangeError when the value does not fit`, () => {
    const { region, accesses } = setUp();
    const write = `write${width}` as const;
    for (const value of [-1, 2 ** width, 2 ** 53, 0.5, NaN, Infinity]) {
      assertThrows(() => region[write](0, value), RangeError, `${value}`);
    }
    assertEquals(accesses, []);
  });
}

Deno.test("Region.write64() throws a RangeError when the value does not fit", () => {
  const { region, accesses } = setUp();
  for (const value of [-1n, 1n << 64n]) {
    assertThrows(() => region.write64(0, value), RangeError, `${value}`);
  }
  assertEquals(accesses, []);
});

Deno.test("Region reaches registers beyond 4 GiB", () => {
  const seen: bigint[] = [];
  const { region } = setUp({
    size: 2 ** 36,
    kernel: { pread: (_fd, into, at) => (seen.push(at - START), into.length) },
  });
  assertEquals(region.size, 2 ** 36);
  region.read32(2 ** 32);
  region.read64(2 ** 36 - 8);
  region.read(2 ** 35 + 1, new Uint8Array(3));
  assertThrows(() => region.read8(2 ** 36), RangeError);
  assertEquals(seen, [2n ** 32n, 2n ** 36n - 8n, 2n ** 35n + 1n]);
});

Deno.test("Region.read() and write() accept any bytes inside the region", () => {
  const { region, memory, accesses } = setUp();
  const into = new Uint8Array(8).subarray(1, 6);
  region.read(3, into);
  assertEquals(into, Uint8Array.of(3, 4, 5, 6, 7));
  region.write(65533, Uint8Array.of(1, 2, 3));
  assertEquals(memory.subarray(65532), Uint8Array.of(0xfc, 1, 2, 3));
  region.read(0, new Uint8Array(65536));
  assertEquals(accesses, [
    "7: read 5 at 3",
    "7: write 3 at 65533",
    "7: read 65536 at 0",
  ]);
});

Deno.test("Region.read() and write() throw a RangeError when the range is outside", () => {
  const { region, accesses } = setUp();
  for (
    const [offset, length] of [
      [65536, 1],
      [65535, 2],
      [65537, 0],
      [-1, 1],
      [0, 65537],
      [0.5, 1],
      [NaN, 1],
      [Infinity, 0],
      [2 ** 53, 1],
    ] as const
  ) {
    const bytes = new Uint8Array(length);
    const message = `Cannot access ${length} bytes at offset ${offset}: ` +
      "expected them inside 65536 bytes";
    assertThrows(() => region.read(offset, bytes), RangeError, message);
    assertThrows(() => region.write(offset, bytes), RangeError, message);
  }
  assertEquals(accesses, []);
});

Deno.test("Region throws a RangeError at every access when the region does not exist", () => {
  const { region, accesses } = setUp({ size: 0, flags: 0 });
  assertEquals([region.size, region.mappable], [0, []]);
  assertThrows(() => region.read8(0), RangeError);
  assertThrows(() => region.write(0, new Uint8Array(1)), RangeError);
  assertEquals(accesses, []);
});

Deno.test("Region throws KERNEL when the kernel reads or writes too little", () => {
  const { region } = setUp({ kernel: { pread: () => 2, pwrite: () => 0 } });
  const read = failure("KERNEL", () => region.read32(8));
  assertEquals(
    read.message,
    "vfio gpu: cannot read region 3: only 2 of 4 bytes at offset 8 were transferred",
  );
  const write = failure("KERNEL", () => region.write64(8, 0n));
  assertEquals(
    write.message,
    "vfio gpu: cannot write region 3: only 0 of 8 bytes at offset 8 were transferred",
  );
  failure("KERNEL", () => region.read(0, new Uint8Array(3)));
});

Deno.test("Region throws KERNEL when the kernel refuses the access", () => {
  const cause = new KernelError(errnoNumber("EIO"), "pread");
  const { region } = setUp({
    kernel: {
      pread() {
        throw cause;
      },
    },
  });
  const error = failure("KERNEL", () => region.read32(8));
  assertStrictEquals(error.cause, cause);
  assert(
    error.message.startsWith("vfio gpu: cannot read region 3: pread: EIO"),
  );
});

Deno.test("Region throws DETACHED when the device is detached", () => {
  const { region, detach } = setUp();
  detach();
  failure("DETACHED", () => region.read32(0));
  failure("DETACHED", () => region.write32(0, 0));
  failure("DETACHED", () => region.read(0, new Uint8Array(1)));
  failure("DETACHED", () => region.map());
});

Deno.test("Region.map() maps the first area when none is given", () => {
  const { region, mapped } = setUp({
    sparse: [{ offset: 4096, size: 8192 }, { offset: 32768, size: 4096 }],
  });
  const registers = region.map();
  assertEquals(registers.size, 8192);
  assertEquals(mapped, [`7: 3 1 8192 at ${START + 4096n}`]);
});

Deno.test("Region.map() maps whole pages inside an area", () => {
  const sparse = [{ offset: 4096, size: 8192 }, { offset: 32768, size: 4096 }];
  const { region, mapped } = setUp({ sparse });
  for (
    const area of [
      { offset: 4096, size: 4096 },
      { offset: 8192, size: 4096 },
      { offset: 4096, size: 8192 },
      { offset: 32768, size: 4096 },
    ]
  ) {
    assertEquals(region.map(area).size, area.size);
  }
  assertEquals(mapped.length, 4);
});

Deno.test("Region.map() maps all of a region when that is less than a page", () => {
  const { region } = setUp({ size: 260 });
  using registers = region.map();
  assertEquals(registers.size, 260);
});

for (
  const area of [
    { offset: 0, size: 4096 },
    { offset: 8192, size: 8192 },
    { offset: 4096, size: 12288 },
    { offset: 12288, size: 4096 },
    { offset: 4096, size: 0 },
    { offset: 4096, size: -4096 },
    { offset: 4096, size: 5 },
    { offset: 4096, size: 4095 },
    { offset: 4096, size: 4096.5 },
    { offset: 4096, size: NaN },
    { offset: 4100, size: 4096 },
    { offset: 4096.5, size: 4096 },
    { offset: -4096, size: 4096 },
    { offset: NaN, size: 4096 },
    { offset: 2 ** 32 + 4096, size: 4096 },
    { offset: 4096, size: 2 ** 53 },
  ]
) {
  Deno.test(`Region.map() throws a RangeError when the area is ${area.size} bytes at ${area.offset}`, () => {
    const sparse = [{ offset: 4096, size: 8192 }];
    const { region, mapped } = setUp({ sparse });
    assertThrows(
      () => region.map(area),
      RangeError,
      `Cannot map ${area.size} bytes at offset ${area.offset} of region 3: `,
    );
    assertEquals(mapped, []);
  });
}

Deno.test("Region.map() throws NOT_SUPPORTED when nothing can be mapped", () => {
  for (const options of [{ flags: READ | WRITE }, { sparse: [] }]) {
    const { region, mapped } = setUp(options);
    failure("NOT_SUPPORTED", () => region.map());
    assertThrows(() => region.map({ offset: 0, size: 4096 }), RangeError);
    assertEquals(mapped, []);
  }
});

Deno.test("Region.map() maps with only the rights that the region has", () => {
  const { region, mapped } = setUp({ flags: READ | MMAP });
  region.map();
  const { region: other, mapped: there } = setUp({ flags: WRITE | MMAP });
  other.map();
  assertEquals([mapped[0]!, there[0]!].map((text) => text.slice(0, 4)), [
    "7: 1",
    "7: 2",
  ]);
});

Deno.test("Region.map() throws KERNEL when the kernel refuses", () => {
  const { region } = setUp({
    kernel: {
      mmap() {
        throw new KernelError(errnoNumber("EINVAL"), "mmap");
      },
    },
  });
  const error = failure("KERNEL", () => region.map());
  assert(error.message.startsWith("vfio gpu: cannot map region 3: mmap"));
  assertEquals(region.mapped.size, 0);
});

Deno.test("Region.mapped lists mapped registers until they are unmapped", () => {
  const { region } = setUp();
  const first = region.map();
  const second = region.map({ offset: 4096, size: 4096 });
  assertEquals([...region.mapped], [first, second]);
  first.unmap();
  assertEquals([...region.mapped], [second]);
  second[Symbol.dispose]();
  assertEquals(region.mapped.size, 0);
});

Deno.test("Region.mapped keeps registers when the kernel fails to unmap them", () => {
  let refused = 1;
  const { region } = setUp({
    kernel: {
      munmap({ buffer }) {
        if (!buffer.detached) buffer.transfer(0);
        if (refused-- > 0) throw new KernelError(errnoNumber("ENOMEM"), "x");
      },
    },
  });
  const registers = region.map();
  failure("KERNEL", () => registers.unmap());
  assertEquals([...region.mapped], [registers]);
  failure("DETACHED", () => registers.read32(0));
  registers.unmap();
  assertEquals(region.mapped.size, 0);
});
