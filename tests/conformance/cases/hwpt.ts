/**
 * Page tables that are asked for, what the IOMMU can do, and queues
 * (`drivers/iommu/iommufd/hw_pagetable.c`), behind each IOMMU of QEMU's. They
 * log no writes and nest nothing: `tests/vm/guest/iommufd_test.ts` has the mock.
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import {
  iommu_fault_alloc,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_GET_HW_INFO,
  iommu_hw_info,
  IOMMU_HW_QUEUE_ALLOC,
  iommu_hw_queue_alloc,
  IOMMU_HWPT_ALLOC,
  iommu_hwpt_alloc,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  iommu_hwpt_get_dirty_bitmap,
  IOMMU_HWPT_INVALIDATE,
  iommu_hwpt_invalidate,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  iommu_hwpt_set_dirty_tracking,
  IOMMU_VDEVICE_ALLOC,
  iommu_vdevice_alloc,
  IOMMU_VEVENTQ_ALLOC,
  iommu_veventq_alloc,
  IOMMU_VIOMMU_ALLOC,
  iommu_viommu_alloc,
} from "../../../lib/uapi/iommufd/all.ts";
import { answer } from "../answer.ts";
import { call, success } from "../iommufd_calls.ts";
import type { Iommufd } from "../nodes.ts";
import { IOMMU_SYSTEMS, type Setup, withIommufd as test } from "../setup.ts";

const withIommufd = (
  name: string,
  body: (setup: Setup) => void | Promise<void>,
) => test(name, body, { systems: IOMMU_SYSTEMS });

const LAST_PAGE = 0xffff_ffff_ffff_f000n;
const NEST_PARENT = 1;
const DIRTY = 2;
const FAULT = 4;
const PASID = 8;

/** A device that is bound, and an IOAS. */
async function bound(setup: Setup, name = "edu0") {
  const cdev = await setup.cdev(name);
  const iommufd = setup.iommufd();
  const dev_id = cdev.bind(iommufd);
  const ioas = iommufd.allocate();
  const hwpt = (values: Parameters<typeof iommu_hwpt_alloc.alloc>[0] = {}) =>
    call(iommufd, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, {
      dev_id,
      pt_id: ioas,
      ...values,
    });
  const make = (values: Parameters<typeof hwpt>[0] = {}) => {
    const made = hwpt(values);
    if (typeof made === "string") throw new Error(made);
    return made.out_hwpt_id;
  };
  const destroy = (id: number) => answer(() => iommufd.destroy(id));
  return { cdev, iommufd, dev_id, ioas, hwpt, make, destroy };
}

withIommufd(
  "IOMMU_HWPT_ALLOC makes a page table before a device is attached, and pins",
  async (setup) => {
    const { cdev, iommufd, ioas, make, destroy } = await bound(setup);
    const { address: user_va } = setup.memory(4096);
    iommufd.map({ ioas_id: ioas, user_va, length: 4096n, iova: 0n });
    assertEquals(setup.locked, 0);
    const table = make();
    assertEquals(table, 3);
    assertEquals(setup.locked, 4);
    const { ranges, alignment } = iommufd.ranges(ioas, 16);
    assertEquals([ranges.length, alignment], [1, 4096n]);
    assertEquals(destroy(ioas), "EBUSY");
    assertEquals(cdev.attach(table), table);
    assertEquals(destroy(table), "EBUSY");
    assertEquals(iommufd.ranges(ioas, 16).count > 1, true);
    cdev.detach();
    // Unlike one that the kernel makes by itself, it stays.
    assertEquals(destroy(ioas), "EBUSY");
    assertEquals(destroy(table), undefined);
    assertEquals(setup.locked, 0);
    assertEquals(destroy(ioas), undefined);
  },
);

withIommufd(
  "VFIO_DEVICE_ATTACH_IOMMUFD_PT moves a device between page tables of an IOAS",
  async (setup) => {
    const { cdev, ioas, make, destroy } = await bound(setup);
    const automatic = cdev.attach(ioas);
    const table = make();
    assertNotEquals(table, automatic);
    assertEquals(cdev.attach(table), table);
    assertEquals(destroy(automatic), "ENOENT");
    // An IOAS has its own, also where there is one that was made.
    const again = cdev.attach(ioas);
    assertNotEquals(again, table);
    assertEquals(destroy(table), undefined);
    assertEquals(cdev.attach(ioas), again);
  },
);

withIommufd(
  "several devices share a page table that was made",
  async (setup) => {
    const { cdev, iommufd, make, destroy } = await bound(setup);
    const table = make();
    const other = await setup.cdev("edu1");
    other.bind(iommufd);
    assertEquals([cdev.attach(table), other.attach(table)], [table, table]);
    cdev.close();
    assertEquals(destroy(table), "EBUSY");
    other.detach();
    assertEquals(destroy(table), undefined);
  },
);

withIommufd(
  "IOMMU_HWPT_ALLOC refuses what the IOMMU lacks, and wrong arguments",
  async (setup) => {
    const { dev_id, iommufd, ioas, hwpt, make } = await bound(setup);
    const { last, tables: { faults, pasids } } = setup.iommu;
    const table = make();
    for (
      const [values, expected] of [
        [{ flags: NEST_PARENT }, "EOPNOTSUPP"],
        [{ flags: DIRTY }, "EOPNOTSUPP"],
        [{ flags: FAULT | NEST_PARENT }, "EOPNOTSUPP"],
        [{ flags: 1 << 4 }, "EOPNOTSUPP"],
        [{ flags: FAULT, fault_id: 99 }, faults ? "ENOENT" : "EOPNOTSUPP"],
        [{ flags: FAULT, fault_id: ioas }, faults ? "ENOENT" : "EOPNOTSUPP"],
        [{ __reserved: 1 }, "EOPNOTSUPP"],
        [{ size: 23 }, "EINVAL"],
        [{ data_type: 1 }, "EINVAL"],
        [{ data_len: 8 }, "EINVAL"],
        [{ data_type: 1, data_len: 8, data_uptr: 8n }, "EOPNOTSUPP"],
        [{ dev_id: 99 }, "ENOENT"],
        [{ dev_id: ioas }, "ENOENT"],
        [{ pt_id: 99 }, "EINVAL"],
        [{ pt_id: dev_id }, "EINVAL"],
        [{ pt_id: table }, "EOPNOTSUPP"],
        [
          { pt_id: table, data_type: 1, data_len: 8, data_uptr: 8n },
          setup.iommu.nests,
        ],
        [{ dev_id: 99, __reserved: 1 }, "EOPNOTSUPP"],
        [{ dev_id: 99, data_len: 8 }, "EINVAL"],
      ] as const
    ) assertEquals(hwpt(values), expected, Deno.inspect(values));
    const forPasids = hwpt({ flags: PASID });
    assertEquals(forPasids === "EOPNOTSUPP", !pasids);
    const { address: user_va } = setup.memory(4096);
    if (last < LAST_PAGE) {
      const high = iommufd.allocate();
      iommufd.map({ ioas_id: high, user_va, length: 4096n, iova: LAST_PAGE });
      assertEquals(hwpt({ pt_id: high }), "EADDRINUSE");
    }
    const missing = iommufd.allocate();
    iommufd.map({ ioas_id: missing, user_va: 0n, length: 4096n, iova: 0n });
    assertEquals(hwpt({ pt_id: missing }), "EFAULT");
    assertEquals(setup.locked, 0);
  },
);

withIommufd(
  "a page table without a log of writes is not asked for one",
  async (setup) => {
    const { iommufd, ioas, make } = await bound(setup);
    const hwpt_id = make();
    const set = (values: { hwpt_id: number; flags?: number }) =>
      call(
        iommufd,
        IOMMU_HWPT_SET_DIRTY_TRACKING,
        iommu_hwpt_set_dirty_tracking,
        values,
      );
    const get = (
      values: Parameters<typeof iommu_hwpt_get_dirty_bitmap.alloc>[0],
    ) =>
      call(
        iommufd,
        IOMMU_HWPT_GET_DIRTY_BITMAP,
        iommu_hwpt_get_dirty_bitmap,
        values!,
      );
    assertEquals(set({ hwpt_id, flags: 1 }), "EOPNOTSUPP");
    assertEquals(set({ hwpt_id: ioas, flags: 1 }), "ENOENT");
    assertEquals(set({ hwpt_id: 99, flags: 2 }), "EOPNOTSUPP");
    const range = { length: 4096n, page_size: 4096n };
    assertEquals(get({ hwpt_id, ...range }), "EOPNOTSUPP");
    assertEquals(get({ hwpt_id: ioas, ...range }), "ENOENT");
    assertEquals(get({ hwpt_id: 99, flags: 2, ...range }), "EOPNOTSUPP");
  },
);

withIommufd(
  "IOMMU_HWPT_INVALIDATE is for page tables of a guest",
  async (setup) => {
    const { iommufd, make } = await bound(setup);
    const hwpt_id = make();
    const invalidate = (
      values: Parameters<typeof iommu_hwpt_invalidate.alloc>[0],
    ) => call(iommufd, IOMMU_HWPT_INVALIDATE, iommu_hwpt_invalidate, values!);
    assertEquals(invalidate({ hwpt_id }), "EINVAL");
    assertEquals(invalidate({ hwpt_id: 99 }), "ENOENT");
    assertEquals(invalidate({ hwpt_id, __reserved: 1 }), "EOPNOTSUPP");
    assertEquals(invalidate({ hwpt_id: 99, entry_num: 1 }), "EINVAL");
  },
);

withIommufd(
  "IOMMU_GET_HW_INFO tells what the IOMMU behind a device is",
  async (setup) => {
    const { iommufd, dev_id, ioas } = await bound(setup);
    const ask = (values: Parameters<typeof iommu_hw_info.alloc>[0] = {}) =>
      call(iommufd, IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id, ...values });
    const info = success(iommufd, IOMMU_GET_HW_INFO, iommu_hw_info, { dev_id });
    const { type, bytes: told } = setup.iommu.hardware;
    assertEquals(info.out_data_type, type);
    assertEquals(info.data_len, told);
    assertEquals(info.out_max_pasid_log2, 0);
    assertEquals(info.out_capabilities & 1n, 0n);
    assertEquals(ask({ dev_id: ioas }), "ENOENT");
    assertEquals(ask({ dev_id: 99 }), "ENOENT");
    assertEquals(ask({ flags: 2 }), "EOPNOTSUPP");
    assertEquals(ask({ size: 31 }), "EINVAL");
    // A driver that tells nothing does not look at what is asked for.
    const other = ask({ flags: 1, in_data_type: 2 });
    assertEquals(other === "EOPNOTSUPP", told > 0);
    assertEquals(typeof ask({ flags: 1, in_data_type: type }), "object");
    const bytes = new Uint8Array(32).fill(0xff);
    ask({ data_len: 32, data_uptr: setup.kernel.addressOf(bytes) });
    // The rest is zeroed.
    assertEquals([...bytes.subarray(told)], Array(32 - told).fill(0));
  },
);

withIommufd(
  "IOMMU_FAULT_QUEUE_ALLOC makes a queue, whose file keeps it",
  async (setup) => {
    const { kernel } = setup;
    const { cdev, iommufd, hwpt, make, destroy } = await bound(setup);
    assertEquals(
      call(iommufd, IOMMU_FAULT_QUEUE_ALLOC, iommu_fault_alloc, { flags: 1 }),
      "EOPNOTSUPP",
    );
    const made = success(
      iommufd,
      IOMMU_FAULT_QUEUE_ALLOC,
      iommu_fault_alloc,
      {},
    );
    const [id, fd] = [made.out_fault_id, made.out_fault_fd];
    assertEquals(destroy(id), "EBUSY");
    assertEquals(kernel.read(fd, new Uint8Array(40)), 0);
    assertEquals(
      answer(() => kernel.read(fd, new Uint8Array(41))),
      "ESPIPE",
    );
    assertEquals(answer(() => kernel.write(fd, new Uint8Array(8))), "EINVAL");
    assertEquals(answer(() => kernel.write(fd, new Uint8Array(7))), "ESPIPE");
    const { faults, anyFaults } = setup.iommu.tables;
    if (faults) {
      const table = make({ flags: FAULT, fault_id: id });
      // None of these devices asks for pages.
      const attached = answer(() => cdev.attach(table));
      assertEquals(attached, anyFaults ? table : "ENODEV");
      cdev.detach();
      kernel.close(fd);
      assertEquals(destroy(id), "EBUSY");
      destroy(table);
    } else {
      kernel.close(fd);
    }
    assertEquals(destroy(id), undefined);
    assertEquals(
      hwpt({ flags: FAULT, fault_id: id }),
      faults ? "ENOENT" : "EOPNOTSUPP",
    );
  },
);

withIommufd(
  "a fault queue's file keeps the iommufd",
  async (setup) => {
    const { cdev, iommufd, ioas } = await bound(setup);
    const { address: user_va } = setup.memory(4096);
    iommufd.map({ ioas_id: ioas, user_va, length: 4096n, iova: 0n });
    cdev.attach(ioas);
    const { out_fault_fd } = success(
      iommufd,
      IOMMU_FAULT_QUEUE_ALLOC,
      iommu_fault_alloc,
      {},
    );
    const table = success(iommufd, IOMMU_HWPT_ALLOC, iommu_hwpt_alloc, {
      dev_id: 1,
      pt_id: ioas,
    });
    assertEquals(table.out_hwpt_id > 0, true);
    cdev.close();
    iommufd.close();
    assertEquals(setup.locked, 4);
    setup.kernel.close(out_fault_fd);
    assertEquals(setup.locked, 0);
  },
);

withIommufd(
  "virtual IOMMUs and what is in them are not for this IOMMU",
  async (setup) => {
    const { iommufd, dev_id, make } = await bound(setup);
    const hwpt_id = make();
    const refusals: [string, ...Parameters<typeof call>][] = [
      viommu(iommufd, "EOPNOTSUPP", { type: 0, dev_id, hwpt_id }),
      viommu(iommufd, "EOPNOTSUPP", { type: 1, dev_id, hwpt_id }),
      viommu(iommufd, "EOPNOTSUPP", { type: 1, flags: 1, dev_id: 99 }),
      viommu(iommufd, "ENOENT", { type: 1, dev_id: 99, hwpt_id }),
      ["ENOENT", iommufd, IOMMU_VDEVICE_ALLOC, iommu_vdevice_alloc, {
        viommu_id: hwpt_id,
        dev_id,
      }],
      ["EOPNOTSUPP", iommufd, IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, {
        viommu_id: hwpt_id,
      }],
      ["EINVAL", iommufd, IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, {
        type: 1,
      }],
      ["EINVAL", iommufd, IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, {
        type: 1,
        veventq_depth: 2 ** 19 + 1,
      }],
      ["ENOENT", iommufd, IOMMU_VEVENTQ_ALLOC, iommu_veventq_alloc, {
        type: 1,
        veventq_depth: 1,
        viommu_id: hwpt_id,
      }],
      ["EOPNOTSUPP", iommufd, IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, {}],
      ["EINVAL", iommufd, IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, {
        type: 1,
      }],
      ["EOVERFLOW", iommufd, IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, {
        type: 1,
        length: 4096n,
        nesting_parent_iova: 0xffff_ffff_ffff_f001n,
      }],
      ["ENOENT", iommufd, IOMMU_HW_QUEUE_ALLOC, iommu_hw_queue_alloc, {
        type: 1,
        length: 4096n,
        viommu_id: 99,
      }],
    ];
    for (const [expected, ...parameters] of refusals) {
      assertEquals(
        call(...parameters),
        expected,
        `${parameters[1].name} ${Deno.inspect(parameters[3])}`,
      );
    }
  },
);

function viommu(
  iommufd: Iommufd,
  expected: string,
  values: Parameters<typeof iommu_viommu_alloc.alloc>[0],
): [string, ...Parameters<typeof call>] {
  return [expected, iommufd, IOMMU_VIOMMU_ALLOC, iommu_viommu_alloc, values!];
}
