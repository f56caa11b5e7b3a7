/**
 * The mock IOMMU of kernels with `CONFIG_IOMMUFD_TEST`
 * (`drivers/iommu/iommufd/selftest.c`): devices that are not there, and what
 * makes them do something or tells what was done to them.
 *
 * @module
 */
import type { Mapping } from "../../../../mod.ts";
import {
  type DevicePort,
  type DriverData,
  type Ioas,
  Iommufd,
  IommufdDevice,
  type IommufdObject,
} from "../../../../backends/iommufd/mod.ts";
import { hasErrno } from "../../../../lib/kernel/errno.ts";
import { io } from "../../../../lib/uapi/ioctl.ts";
import { IOMMUFD_TYPE } from "../../../../lib/uapi/iommufd/all.ts";
import {
  type Encodable,
  type Fields,
  type Struct,
  struct,
  u32,
  u64,
} from "../../../../lib/uapi/layout.ts";
import {
  MAP_ANONYMOUS,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../../lib/uapi/linux/mman.ts";
import { host } from "../setup.ts";

/** The first IOVA that the mock translates. */
export const APERTURE = 0x100_0000n;
/** How much memory a page is. */
export const PAGE = 4096;

/** What the mock's kinds of data are called. */
export const DATA = {
  /** Of a page table. */
  table: 0xdead,
  /** Of everything else. */
  other: 0xdead_beef,
  /** Of an event queue. */
  event: 0xbeef_beef,
} as const;

const OPS = {
  addReserved: 1,
  checkMap: 3,
  checkPins: 4,
  makeDevice: 12,
  move: 10,
  dirty: 13,
  checkIotlb: 14,
  requestPage: 15,
  checkCache: 16,
  raiseEvent: 17,
  attachPasid: 18,
  replacePasid: 19,
  detachPasid: 20,
  checkPasid: 21,
  makeDmaBuf: 22,
  revokeDmaBuf: 23,
} as const;

/** The header of `struct iommu_test_cmd`; the rest depends on the operation. */
const HEAD = { size: u32, op: u32, id: u32, __reserved: u32 };
/** The size of the struct, whatever the operation. */
const SIZE = 72;

/** A flag of a device: it cannot log what it writes. */
const NO_DIRTY = 1 << 0;
/** A flag of a device: it has PASIDs. */
const PASID = 1 << 2;

/** The mock IOMMU behind an iommufd. */
export class Mock implements Disposable {
  /** The iommufd. */
  readonly iommufd: Iommufd = Iommufd.open(host);
  readonly #memory = new DisposableStack();

  /** Makes a device, attached to an IOAS. */
  device(
    ioas: Ioas,
    { dirty = true, pasids = false } = {},
  ): MockDevice {
    const { out_stdev_id, out_idev_id } = this.op(OPS.makeDevice, ioas.id, {
      out_stdev_id: u32,
      out_hwpt_id: u32,
      out_idev_id: u32,
      dev_flags: u32,
    }, { dev_flags: (dirty ? 0 : NO_DIRTY) | (pasids ? PASID : 0) });
    return new MockDevice(this, out_stdev_id, out_idev_id, ioas);
  }

  /** Memory of this process, zeros. */
  memory(bytes: number): Mapping {
    const memory = host.kernel.mmap(
      bytes,
      PROT_READ | PROT_WRITE,
      MAP_SHARED | MAP_ANONYMOUS,
      -1,
      0n,
    );
    this.#memory.defer(() => host.kernel.munmap(memory));
    new Uint8Array(memory.buffer).fill(0);
    return memory;
  }

  /** Reserves IOVAs, as a device with a reserved window does. */
  reserve(ioas: Ioas, start: bigint, length: bigint): void {
    this.op(OPS.addReserved, ioas.id, { start: u64, length: u64 }, {
      start,
      length,
    });
  }

  /** Whether a page table has memory of this process at an IOVA. */
  translates(table: IommufdObject, iova: bigint, memory: Mapping): boolean {
    return this.#holds(
      OPS.checkMap,
      table.id,
      { iova: u64, length: u64, uptr: u64 },
      { iova, length: BigInt(memory.length), uptr: memory.address },
    );
  }

  /** Whether each page of memory is pinned as often as said. */
  pinned({ address, length }: Mapping, times: number): boolean {
    return this.#holds(
      OPS.checkPins,
      0,
      { length: u64, uptr: u64, refs: u32 },
      { length: BigInt(length), uptr: address, refs: times },
      "EIO",
    );
  }

  /** Writes to pages, as a device would; gives how many. */
  write(
    table: IommufdObject,
    iova: bigint,
    length: number,
    bitmap: Uint8Array,
  ): bigint {
    const { out_nr_dirty } = this.op(OPS.dirty, table.id, {
      flags: u32,
      iova: u64,
      length: u64,
      page_size: u64,
      uptr: u64,
      out_nr_dirty: u64,
    }, {
      iova,
      length: BigInt(length),
      page_size: BigInt(PAGE),
      uptr: host.kernel.addressOf(bitmap),
    });
    return out_nr_dirty;
  }

  /** Whether the IOMMU has cached a value for a nested page table. */
  caches(table: IommufdObject, index: number, value: number): boolean {
    return this.#holds(
      OPS.checkIotlb,
      table.id,
      { index: u32, value: u32 },
      { index, value },
    );
  }

  /** Makes a dma-buf; gives its descriptor, which is the caller's. */
  dmaBuf(length: number): number {
    const before = new Set(dmaBufs());
    const O_RDWR = 2;
    // In 7.3 the call does not give the descriptor.
    this.op(OPS.makeDmaBuf, 0, { length: u32, open_flags: u32 }, {
      length,
      open_flags: O_RDWR,
    });
    return dmaBufs().find((fd) => !before.has(fd))!;
  }

  /** Takes the memory of a dma-buf back, or gives it. */
  revoke(dmaBuf: number, revoked: boolean): void {
    this.op(OPS.revokeDmaBuf, 0, { fd: u32, revoked: u32 }, {
      fd: dmaBuf,
      revoked: revoked ? 1 : 0,
    });
  }

  /** Makes a call. */
  op<F extends Fields>(
    op: number,
    id: number,
    members: F,
    values: Encodable<F> = {} as Encodable<F>,
  ): ReturnType<Struct<F>["decode"]> {
    const layout = struct(
      "iommu_test_cmd",
      { ...HEAD, ...members },
    ) as unknown as Struct<F>;
    const bytes = new Uint8Array(SIZE);
    layout.encode(
      bytes,
      { size: SIZE, op, id, ...values } as unknown as Encodable<F>,
    );
    this.iommufd.fd.ioctl(COMMAND, bytes);
    return layout.decode(bytes) as ReturnType<Struct<F>["decode"]>;
  }

  #holds<F extends Fields>(
    op: number,
    id: number,
    members: F,
    values: Encodable<F>,
    otherwise = "EINVAL",
  ): boolean {
    try {
      this.op(op, id, members, values);
      return true;
    } catch (error) {
      if (hasErrno(error, otherwise as "EINVAL")) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.iommufd.close();
    this.#memory.dispose();
  }
}

const COMMAND = io(
  "IOMMU_TEST_CMD",
  IOMMUFD_TYPE,
  0xa0,
  struct("iommu_test_cmd", HEAD),
);

/** A device behind the mock IOMMU. */
export class MockDevice extends IommufdDevice {
  readonly #mock: Mock;
  readonly #self: number;

  /** Made by {@linkcode Mock.device}. */
  constructor(mock: Mock, self: number, id: number, ioas: Ioas) {
    super(
      mock.iommufd,
      { id, name: `mock ${id}`, group: `mock ${id}` },
      new MockPort(mock, self),
      ioas,
    );
    this.#mock = mock;
    this.#self = self;
  }

  /** Asks for a page, as a device with page requests does. */
  requestPage(
    { pasid = 0, group = 0, permissions = 0, address = 0n } = {},
  ): void {
    this.#mock.op(OPS.requestPage, 0, {
      dev_id: u32,
      pasid: u32,
      grpid: u32,
      perm: u32,
      addr: u64,
    }, {
      dev_id: this.id,
      pasid,
      grpid: group,
      perm: permissions,
      addr: address,
    });
  }

  /** Has its IOMMU report an event. */
  raiseEvent(): void {
    this.#mock.op(OPS.raiseEvent, 0, { dev_id: u32 }, { dev_id: this.id });
  }

  /** Whether its IOMMU has cached a value for it. */
  caches(index: number, value: number): boolean {
    try {
      this.#mock.op(OPS.checkCache, this.id, { index: u32, value: u32 }, {
        index,
        value,
      });
      return true;
    } catch (error) {
      if (hasErrno(error, "EINVAL")) return false;
      throw error;
    }
  }

  /** Whether a PASID translates by a page table; by none where there is none. */
  usesFor(pasid: number, table: IommufdObject | undefined): boolean {
    try {
      this.#mock.op(OPS.checkPasid, this.#self, { pasid: u32, table: u32 }, {
        pasid,
        table: table?.id ?? 0,
      });
      return true;
    } catch (error) {
      if (hasErrno(error, "EINVAL")) return false;
      throw error;
    }
  }

  /** Takes it out of the machine: it is detached and unbound. */
  unplug(): void {
    this.detachPasids();
    this.leave();
    this.iommufd.destroy(this.#self, this.name);
  }

  // A mock is detached only with its end.
  override destroy(): void {
    this.unplug();
  }
}

/** Moves a mock between page tables. */
class MockPort implements DevicePort {
  readonly #mock: Mock;
  readonly #self: number;
  readonly #pasids = new Set<number>();

  constructor(mock: Mock, self: number) {
    this.#mock = mock;
    this.#self = self;
  }

  attach(table: number, pasid: number | undefined): number {
    if (pasid === undefined) {
      const members = { table: u32 };
      return this.#mock.op(OPS.move, this.#self, members, { table }).table;
    }
    const op = this.#pasids.has(pasid) ? OPS.replacePasid : OPS.attachPasid;
    this.#mock.op(op, this.#self, { pasid: u32, table: u32 }, { pasid, table });
    this.#pasids.add(pasid);
    return table;
  }

  detach(pasid: number | undefined): void {
    if (pasid === undefined) {
      throw new Error("A mock is attached until its end");
    }
    this.#mock.op(OPS.detachPasid, this.#self, { pasid: u32 }, { pasid });
    this.#pasids.delete(pasid);
  }
}

/** The data of a nested page table: what the IOMMU caches for it. */
export function tableData(cached: number): DriverData {
  return { type: DATA.table, bytes: words(cached, 0) };
}

/** 32-bit numbers as the bytes of a struct. */
export function words(...values: number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint32Array(values).buffer);
}

function dmaBufs(): number[] {
  const directory = "/proc/self/fd";
  return [...Deno.readDirSync(directory)].flatMap(({ name }) => {
    try {
      return Deno.readLinkSync(`${directory}/${name}`).startsWith("/dmabuf:")
        ? [Number(name)]
        : [];
    } catch {
      return []; // the one through which the directory was read
    }
  });
}
