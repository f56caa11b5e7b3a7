/**
 * Each allocation of the kernel fails in turn, while something is made or
 * mapped: it is told, and nothing of it is left
 * (`Documentation/fault-injection`).
 */
import { assert, assertEquals } from "@std/assert";
import { KernelError, VfioError } from "../../../../mod.ts";
import {
  FaultQueue,
  Hwpt,
  HwQueue,
  NestedHwpt,
  Vdevice,
  Viommu,
} from "../../../../backends/iommufd/mod.ts";
import { O_RDWR } from "../../../../lib/uapi/linux/fcntl.ts";
import { lockedKilobytes } from "../observe.ts";
import { host } from "../setup.ts";
import { APERTURE, DATA, type Mock, PAGE, tableData } from "./mock.ts";
import { onMock } from "./test.ts";

const DEBUGFS = "/sys/kernel/debug";
/** More allocations than any of these calls makes. */
const MOST = 400;

/** Prepares a call that is made again and again. */
type Prepare = (mock: Mock) => {
  /** The call. */
  call: () => Disposable | void;
  /** Undoes it, where what it gives does not. */
  undo?: () => void;
};

const CALLS: Readonly<Record<string, Prepare>> = {
  "an IOAS is allocated": ({ iommufd }) => ({
    call: () => iommufd.allocateIoas(),
  }),
  "a page table is allocated, and pins": (mock) => {
    const { device, ioas } = mapped(mock);
    return { call: () => Hwpt.allocate(device, ioas, { dirtyTracking: true }) };
  },
  "memory is mapped": (mock) => {
    const { ioas, memory } = mapped(mock);
    const { address, length } = memory;
    const iova = APERTURE * 2n;
    return {
      call: () => void ioas.unsafeMap({ address, size: length }, { iova }),
      undo: () => void ioas.unmap(iova, length),
    };
  },
  "memory is copied": (mock) => {
    const { ioas } = mapped(mock);
    const iova = APERTURE * 2n;
    return {
      call: () => void ioas.copy(ioas, APERTURE, 8 * PAGE, { iova }),
      undo: () => void ioas.unmap(iova, 8 * PAGE),
    };
  },
  "a device is attached": (mock) => {
    const { device, ioas } = mapped(mock);
    const other = mock.iommufd.allocateIoas();
    const { address, length } = mock.memory(8 * PAGE);
    other.unsafeMap({ address, size: length }, { iova: APERTURE });
    return {
      call: () => void device.attach(other),
      undo: () => void device.attach(ioas),
    };
  },
  "dirty tracking starts, and is read": (mock) => {
    const { device, ioas } = mapped(mock);
    const table = Hwpt.allocate(device, ioas, { dirtyTracking: true });
    const bitmap = new Uint8Array(1);
    return {
      call: () => {
        table.setDirtyTracking(true);
        table.readDirty(APERTURE, 8 * PAGE, PAGE, bitmap);
      },
      undo: () => table.setDirtyTracking(false),
    };
  },
  "a PASID is attached": (mock) => {
    const { ioas } = mapped(mock);
    const device = mock.device(ioas, { pasids: true });
    const table = Hwpt.allocate(device, ioas, { pasid: true });
    device.attach(table);
    return {
      call: () => device.attachPasid(1, table),
      undo: () => device.detachPasid(1),
    };
  },
  "a fault queue is allocated": ({ iommufd }) => ({
    call: () => FaultQueue.allocate(iommufd),
  }),
  "a virtual IOMMU is allocated, with all that is in it": (mock) => {
    const { device, ioas } = mapped(mock);
    const parent = Hwpt.allocate(device, ioas, { nestParent: true });
    return {
      call: () => {
        using stack = new DisposableStack();
        const viommu = stack.use(
          Viommu.allocate(device, parent, { type: DATA.other }),
        );
        stack.use(NestedHwpt.allocate(device, viommu, tableData(1)));
        stack.use(Vdevice.allocate(viommu, device, 1n));
        stack.use(
          HwQueue.allocate(viommu, {
            type: DATA.other,
            index: 0,
            iova: APERTURE,
            size: PAGE,
          }),
        );
        return stack.move();
      },
    };
  },
};

/** A device on an IOAS that has memory mapped. */
function mapped(mock: Mock) {
  const ioas = mock.iommufd.allocateIoas();
  const device = mock.device(ioas);
  const memory = mock.memory(8 * PAGE);
  ioas.unsafeMap(
    { address: memory.address, size: memory.length },
    { iova: APERTURE },
  );
  return { ioas, device, memory };
}

for (const [name, prepare] of Object.entries(CALLS)) {
  onMock(`nothing is left when an allocation fails as ${name}`, (mock) => {
    using failing = new FailingAllocations();
    const { call, undo } = prepare(mock);
    const run = () => {
      const made = call();
      undo?.();
      made?.[Symbol.dispose]();
    };
    run();
    const locked = lockedKilobytes();
    let failures = 0;
    for (let nth = 1;; nth++) {
      assert(nth < MOST, "no end of allocations");
      let made: Disposable | void = undefined;
      let error: unknown;
      failing.arm(nth);
      try {
        made = call();
      } catch (caught) {
        error = caught;
      }
      const failed = failing.disarm();
      if (error === undefined) {
        undo?.();
        made?.[Symbol.dispose]();
      } else {
        failures++;
        // iommufd has other errnos, too, where it is told to fail.
        assert(error instanceof VfioError, String(error));
        assert(error.cause instanceof KernelError, error.message);
      }
      assertEquals(lockedKilobytes(), locked, `after allocation ${nth}`);
      if (!failed) break;
    }
    assert(failures > 0, "no allocation failed");
    // The same works as before.
    run();
    assertEquals(lockedKilobytes(), locked);
    assertEquals(failing.splats(), []);
  });
}

/** Has the kernel fail an allocation of this thread's next system calls. */
class FailingAllocations implements Disposable {
  readonly #fd: number;
  readonly #before = splats().length;

  constructor() {
    const { kernel } = host;
    try {
      kernel.readdir(`${DEBUGFS}/failslab`);
    } catch {
      new Deno.Command("mount", { args: ["-t", "debugfs", "none", DEBUGFS] })
        .outputSync();
    }
    // Those of a call that may wait, too; each without a stack in the log.
    kernel.writeFile(`${DEBUGFS}/failslab/ignore-gfp-wait`, "N");
    kernel.writeFile(`${DEBUGFS}/failslab/verbose`, "0");
    kernel.writeFile(`${DEBUGFS}/fail_iommufd/verbose`, "0");
    this.#fd = kernel.open("/proc/thread-self/fail-nth", O_RDWR);
  }

  /** Has the nth from here on fail. */
  arm(nth: number): void {
    host.kernel.pwrite(this.#fd, new TextEncoder().encode(String(nth)), 0n);
  }

  /** Stops that, and says whether it has failed. */
  disarm(): boolean {
    const { kernel } = host;
    const bytes = new Uint8Array(16);
    const count = kernel.pread(this.#fd, bytes, 0n);
    const left = Number(new TextDecoder().decode(bytes.subarray(0, count)));
    kernel.pwrite(this.#fd, new TextEncoder().encode("0"), 0n);
    return left === 0;
  }

  /** What the kernel has complained of since. */
  splats(): string[] {
    return splats().slice(this.#before);
  }

  [Symbol.dispose](): void {
    host.kernel.close(this.#fd);
  }
}

function splats(): string[] {
  const { stdout } = new Deno.Command("dmesg").outputSync();
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => /WARNING:|BUG:|Oops|refcount_t/.test(line));
}
