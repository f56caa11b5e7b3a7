/**
 * What a whole iommufd and an IOAS are told: options, which IOVAs, the
 * compatibility IOAS, another process (`drivers/iommu/iommufd/ioas.c`).
 */
import { assertEquals } from "@std/assert";
import {
  IOMMU_IOAS_ALLOW_IOVAS,
  iommu_ioas_allow_iovas,
  IOMMU_IOAS_CHANGE_PROCESS,
  iommu_ioas_change_process,
  IOMMU_IOAS_MAP_READABLE,
  iommu_iova_range,
  IOMMU_OPTION,
  iommu_option,
  IOMMU_VFIO_IOAS,
  iommu_vfio_ioas,
} from "../../../lib/uapi/iommufd/all.ts";
import { answer } from "../answer.ts";
import { call } from "../iommufd_calls.ts";
import type { Iommufd } from "../nodes.ts";
import { type Setup, withIommufd } from "../setup.ts";

const LIMIT_MODE = 0;
const HUGE_PAGES = 1;
const SET = 0;
const GET = 1;

/** IOMMU_OPTION; gives the value, or the errno. */
function option(
  iommufd: Iommufd,
  values: Parameters<typeof iommu_option.alloc>[0],
): bigint | string {
  const answered = call(iommufd, IOMMU_OPTION, iommu_option, values!);
  return typeof answered === "string" ? answered : answered.val64;
}

/** IOMMU_IOAS_ALLOW_IOVAS; gives the errno. */
function allow(
  setup: Setup,
  iommufd: Iommufd,
  ioas_id: number,
  ranges: readonly [bigint, bigint][],
): string | undefined {
  const bytes = new Uint8Array(ranges.length * 16 + 16);
  for (const [i, [start, last]] of ranges.entries()) {
    iommu_iova_range.encode(bytes, { start, last }, i * 16);
  }
  const answered = call(
    iommufd,
    IOMMU_IOAS_ALLOW_IOVAS,
    iommu_ioas_allow_iovas,
    {
      ioas_id,
      num_iovas: ranges.length,
      allowed_iovas: setup.kernel.addressOf(bytes),
    },
  );
  bytes.fill(0);
  return typeof answered === "string" ? answered : undefined;
}

withIommufd(
  "IOMMU_OPTION says whose locked memory is, before there is any object",
  (setup) => {
    const iommufd = setup.iommufd();
    const mode = { option_id: LIMIT_MODE };
    assertEquals(option(iommufd, { ...mode, op: GET }), 0n);
    assertEquals(option(iommufd, { ...mode, op: SET, val64: 2n }), "EINVAL");
    assertEquals(option(iommufd, { ...mode, op: SET, val64: 1n }), 1n);
    assertEquals(option(iommufd, { ...mode, op: GET }), 1n);
    iommufd.allocate();
    assertEquals(option(iommufd, { ...mode, op: SET }), "EBUSY");
    for (
      const values of [
        { ...mode, op: GET, object_id: 1 },
        { ...mode, op: 2 },
        { ...mode, op: GET, __reserved: 1 },
        { option_id: 2 },
      ]
    ) assertEquals(option(iommufd, values), "EOPNOTSUPP");
  },
);

withIommufd(
  "IOMMU_OPTION forbids large pages until a page table has mappings",
  async (setup) => {
    const { iommufd, ioas } = await setup.readyIoas("edu0");
    const huge = { option_id: HUGE_PAGES, object_id: ioas };
    assertEquals(option(iommufd, { ...huge, op: GET }), 1n);
    assertEquals(option(iommufd, { ...huge, op: SET }), 0n);
    assertEquals(option(iommufd, { ...huge, op: GET }), 0n);
    assertEquals(option(iommufd, { ...huge, op: SET, val64: 1n }), 1n);
    assertEquals(option(iommufd, { ...huge, op: SET, val64: 2n }), "EINVAL");
    assertEquals(option(iommufd, { ...huge, op: 2 }), "EOPNOTSUPP");
    assertEquals(
      option(iommufd, { ...huge, op: GET, object_id: 99 }),
      "ENOENT",
    );
    const { address: user_va } = setup.memory(4096);
    iommufd.map({ ioas_id: ioas, user_va, length: 4096n, iova: 0n });
    assertEquals(option(iommufd, { ...huge, op: SET }), "EINVAL");
  },
);

withIommufd(
  "IOMMU_IOAS_ALLOW_IOVAS says which IOVAs the kernel chooses, and devices leave",
  async (setup) => {
    const cdev = await setup.cdev("edu0");
    const iommufd = setup.iommufd();
    cdev.bind(iommufd);
    const ioas = iommufd.allocate();
    const { address: user_va } = setup.memory(4096);
    const map = () =>
      answer(() =>
        iommufd.map({
          ioas_id: ioas,
          flags: IOMMU_IOAS_MAP_READABLE,
          user_va,
          length: 4096n,
        })
      );
    const set = (...ranges: [bigint, bigint][]) =>
      allow(setup, iommufd, ioas, ranges);
    assertEquals(set([0x10_0000n, 0x10_1fffn], [0x8000n, 0x8fffn]), undefined);
    assertEquals(
      [map(), map(), map(), map()],
      [0x8000n, 0x10_0000n, 0x10_1000n, "ENOSPC"],
    );
    iommufd.unmap({ ioas_id: ioas, iova: 0n, length: (1n << 64n) - 1n });
    // The window of interrupts.
    assertEquals(set([0xfee0_0000n, 0xfee0_ffffn]), undefined);
    assertEquals(answer(() => cdev.attach(ioas)), "EADDRINUSE");
    assertEquals(set(), undefined);
    cdev.attach(ioas);
    assertEquals(set([0xfee0_0000n, 0xfee0_ffffn]), "EADDRINUSE");
    assertEquals(map(), 0x1000n);
    for (
      const ranges of [
        [[5n, 5n]],
        [[5n, 4n]],
        [[0n, 5n], [5n, 6n]],
      ] as [bigint, bigint][][]
    ) assertEquals(set(...ranges), "EINVAL");
    assertEquals(allow(setup, iommufd, 99, []), "ENOENT");
  },
);

withIommufd(
  "IOMMU_VFIO_IOAS names the IOAS that a container's calls are about",
  (setup) => {
    const iommufd = setup.iommufd();
    const ask = (
      values: Parameters<typeof iommu_vfio_ioas.alloc>[0] = {},
    ) => {
      const answered = call(iommufd, IOMMU_VFIO_IOAS, iommu_vfio_ioas, values!);
      return typeof answered === "string" ? answered : answered.ioas_id;
    };
    assertEquals(ask(), "ENODEV");
    iommufd.allocate();
    const ioas = iommufd.allocate();
    assertEquals(ask({ op: 1, ioas_id: 99 }), "ENOENT");
    assertEquals(ask({ op: 1, ioas_id: ioas }), ioas);
    assertEquals(ask(), ioas);
    assertEquals(ask({ op: 2 }), 0);
    assertEquals(ask(), "ENODEV");
    ask({ op: 1, ioas_id: ioas });
    iommufd.destroy(ioas);
    assertEquals(ask(), "ENODEV");
    assertEquals(ask({ op: 3 }), "EOPNOTSUPP");
    assertEquals(ask({ __reserved: 1 }), "EOPNOTSUPP");
  },
);

withIommufd(
  "IOMMU_IOAS_CHANGE_PROCESS takes over what is mapped by files, and nothing else",
  async (setup) => {
    const { iommufd, ioas } = await setup.readyIoas("edu0");
    const change = (values = {}) => {
      const answered = call(
        iommufd,
        IOMMU_IOAS_CHANGE_PROCESS,
        iommu_ioas_change_process,
        values,
      );
      return typeof answered === "string" ? answered : undefined;
    };
    assertEquals(change(), undefined);
    assertEquals(change({ __reserved: 1 }), "EOPNOTSUPP");
    const { address: user_va } = setup.memory(4096);
    iommufd.map({ ioas_id: ioas, user_va, length: 4096n, iova: 0n });
    assertEquals(change(), "EINVAL");
    assertEquals(setup.locked, 4);
  },
);
