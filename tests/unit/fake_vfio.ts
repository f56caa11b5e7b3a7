/**
 * The part of VFIO's container that the tests of `lib/dma/` and `lib/device/`
 * need, on a simulated host: one function, an IOMMU that remembers mappings,
 * and a record of calls.
 */
import type { IovaRange } from "../../backends/backend.ts";
import { VfioDevice } from "../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../lib/dma/address_space.ts";
import { Host } from "../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../lib/kernel/intercept.ts";
import type { Kernel, Mapping } from "../../lib/kernel/kernel.ts";
import { buildMachine } from "../../lib/sim/machine/build.ts";
import type { ProcessOptions } from "../../lib/sim/process/calls/process.ts";
import type { SimKernel } from "../../lib/sim/process/kernel.ts";
import type { Ioctl } from "../../lib/uapi/ioctl.ts";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../lib/uapi/pci/regs.ts";
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_RESET,
  vfio_device_info,
  VFIO_GROUP_FLAGS_VIABLE,
  vfio_group_status,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  vfio_iommu_type1_info,
  VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
  vfio_iommu_type1_info_cap_iova_range,
  vfio_iova_range,
  vfio_region_info,
} from "../../lib/uapi/vfio/all.ts";

/** The function. */
export const ADDRESS = "0000:00:03.0";

/** Memory of the caller. */
export const MEMORY = { address: 0x7000_0000_0000n, size: 8192 };

export class FakeVfio {
  /** The ranges that the IOMMU translates, and its page sizes. */
  ranges: readonly IovaRange[] = [
    { start: 0n, last: 0xfedf_ffffn },
    { start: 0xfef0_0000n, last: (1n << 48n) - 1n },
  ];
  pageSizes = 0x4020_1000n;
  /** `vfio_device_info.flags`: a PCI function that can be reset. */
  deviceFlags = VFIO_DEVICE_FLAGS_RESET | VFIO_DEVICE_FLAGS_PCI;
  /** The function's registers, the same in every region. */
  readonly registers = new Uint8Array(4096);
  /** The errno of the next call of a method, or of an ioctl by its name. */
  readonly errors = new Map<string, string>();
  /** The calls: ioctls by their names, others by their methods. */
  readonly calls: string[] = [];
  /** The IOMMU's mappings: sizes by IOVA. */
  readonly iommu = new Map<bigint, bigint>();
  /** This process's mapped memory: sizes by address. */
  readonly memory = new Map<bigint, number>();
  /** The simulated process, which answers all other calls. */
  readonly process: SimKernel;
  readonly kernel: Kernel;
  readonly host: Host;
  #nextAddress = 0x7f00_0000_0000n;
  #nextFd = 3;

  constructor(process?: ProcessOptions) {
    const machine = buildMachine({
      kernel: { iommufd: false },
      functions: {
        [ADDRESS]: { id: "8086:10d3", group: 4, driver: "vfio-pci" },
      },
    });
    this.process = machine.spawn(process);
    this.kernel = intercept(this.process, (call, proceed) => {
      const { method, args } = call;
      const answer = this.#answers[method];
      return answer === undefined && !this.errors.has(method)
        ? proceed()
        : this.#record(call, () => answer === undefined ? 0 : answer(args));
    });
    this.host = new Host(this);
    this.registers[PCI_COMMAND] = PCI_COMMAND_MEMORY;
  }

  /** Attaches the function to a new address space, and clears the record. */
  async attach(): Promise<{ space: AddressSpace; device: VfioDevice }> {
    const space = new AddressSpace({ host: this.host });
    const device = await VfioDevice.attach(ADDRESS, space);
    this.calls.length = 0;
    return { space, device };
  }

  #record({ method, args }: KernelCall, answer: () => unknown): unknown {
    const name = method.startsWith("ioctl")
      ? (args[1] as Ioctl).name
      : method as string;
    this.calls.push(name);
    const code = this.errors.get(name);
    if (code === undefined) return answer();
    this.errors.delete(name);
    throw new KernelError(errnoNumber(code), name);
  }

  readonly #answers: Partial<
    Record<keyof Kernel, (args: readonly unknown[]) => unknown>
  > = {
    open: () => this.#nextFd++,
    close: () => {},
    closeAsync: () => Promise.resolve(),
    ioctl: ([, operation, argument]) =>
      this.#ioctl(operation as Ioctl, argument as Uint8Array),
    ioctlAsync: ([, operation, argument]) =>
      Promise.resolve(this.#ioctl(operation as Ioctl, argument as Uint8Array)),
    pread: ([, into, offset]) => {
      const bytes = into as Uint8Array;
      const at = Number(offset);
      bytes.set(this.registers.subarray(at, at + bytes.length));
      return bytes.length;
    },
    pwrite: ([, from, offset]) => {
      this.registers.set(from as Uint8Array, Number(offset));
      return (from as Uint8Array).length;
    },
    mmap: ([length]) => this.#mmap(length as number),
    munmap: ([mapping]) => {
      const { address, buffer } = mapping as Mapping;
      if (!this.memory.delete(address)) throw new Error("munmap of nothing");
      buffer.transfer(0);
    },
  };

  #mmap(length: number): Mapping {
    const address = this.#nextAddress;
    this.#nextAddress += 1n << 32n;
    this.memory.set(address, length);
    return {
      address,
      length,
      buffer: new ArrayBuffer(Math.min(length, 65536)),
    };
  }

  #ioctl({ name }: Ioctl, bytes: Uint8Array): number {
    switch (name) {
      case "VFIO_GROUP_GET_STATUS":
        vfio_group_status.encode(bytes, { flags: VFIO_GROUP_FLAGS_VIABLE });
        return 0;
      case "VFIO_CHECK_EXTENSION":
        return 1;
      case "VFIO_GROUP_GET_DEVICE_FD":
        return this.#nextFd++;
      case "VFIO_DEVICE_GET_INFO":
        vfio_device_info.encode(bytes, {
          flags: this.deviceFlags,
          num_regions: 9,
          num_irqs: 5,
        });
        return 0;
      case "VFIO_DEVICE_GET_REGION_INFO": {
        const { index } = vfio_region_info.decode(bytes);
        vfio_region_info.encode(bytes, { index, flags: 7, size: 4096n });
        return 0;
      }
      case "VFIO_DEVICE_FEATURE":
        throw new KernelError(errnoNumber("ENOTTY"), name);
      case "VFIO_IOMMU_GET_INFO":
        this.#info(bytes);
        return 0;
      case "VFIO_IOMMU_MAP_DMA": {
        const { iova, size } = vfio_iommu_type1_dma_map.decode(bytes);
        this.iommu.set(iova, size);
        return 0;
      }
      case "VFIO_IOMMU_UNMAP_DMA": {
        const { iova, size } = vfio_iommu_type1_dma_unmap.decode(bytes);
        if (size === 0n) this.iommu.clear();
        else if (this.iommu.get(iova) === size) this.iommu.delete(iova);
        else throw new KernelError(errnoNumber("EINVAL"), name);
        return 0;
      }
      default:
        return 0;
    }
  }

  #info(bytes: Uint8Array): void {
    const { size } = vfio_iommu_type1_info;
    const capability = vfio_iommu_type1_info_cap_iova_range;
    const argsz = size + capability.size +
      this.ranges.length * vfio_iova_range.size;
    const fits = argsz <= bytes.length;
    vfio_iommu_type1_info.encode(bytes, {
      argsz,
      iova_pgsizes: this.pageSizes,
      cap_offset: fits ? size : 0,
    });
    if (!fits) return;
    capability.encode(bytes, {
      header: { id: VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE },
      nr_iovas: this.ranges.length,
    }, size);
    for (const [i, { start, last }] of this.ranges.entries()) {
      const at = size + capability.size + i * vfio_iova_range.size;
      vfio_iova_range.encode(bytes, { start, end: last }, at);
    }
  }
}
