import { assert, assertEquals, assertThrows } from "@std/assert";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { failure } from "../../failures.ts";
import { MMAP, READ, setUp, START, WRITE } from "./region_bench.ts";

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
