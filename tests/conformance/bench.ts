/**
 * What a conformance test needs of the system it runs on, be that a real kernel
 * in a virtual machine or a simulated one.
 *
 * @module
 */
import type { BackendName, Host } from "../../mod.ts";
import type { MachineInfo } from "../vm/machine_env.ts";

/** An address below `vm.mmap_min_addr`, where no process has memory. */
export const NOBODYS_MEMORY = 0x1000n;

/** What a process holds of what an attached device brings with it. */
export interface Holdings {
  /** What each of its file descriptors is. */
  readonly descriptors: readonly string[];
  /** Its mappings of registers and of DMA memory. */
  readonly mappings: readonly string[];
  /** Its locked memory, in kB. */
  readonly locked: number;
}

/** Another process of the same system, which attaches what it is told to. */
export interface OtherProcess {
  /** Its name and number, as the library tells of a process. */
  readonly name: string;
  /**
   * Has it attach a device.
   *
   * @param address The PCI address, bound to vfio-pci.
   * @param backend The backend that it takes.
   */
  attach(address: string, backend: BackendName): Promise<AsyncDisposable>;
  /** Has it detach the device that it has. */
  detach(): Promise<void>;
}

/** A system to test on. It ends when it is disposed of. */
export interface Bench extends AsyncDisposable {
  /** Its devices, and the backends that work on it. */
  readonly machine: MachineInfo;
  /** Its kernel's release, as `uname -r` says it. */
  readonly release: string;
  /** Whether nothing was done on it before. */
  readonly isNew: boolean;
  /** The system as the library sees it. */
  readonly host: Host;
  /** What this process holds now, seen without the library. */
  holdings(): Holdings;
  /** Waits until interrupts that were raised have arrived. */
  settle(): Promise<void>;
  /** Loads the module that makes mediated devices, where the kernel has it. */
  loadMtty(): Promise<void>;
  /** How the library names this process. */
  readonly processName: string;
  /** Another process, where {@linkcode System.startOther} has started it. */
  readonly other: OtherProcess;
  /**
   * Asserts that the IOMMU stops what a device does, and tells it.
   *
   * @param forbidden Has a device do it.
   */
  assertFault(forbidden: () => Promise<void>): Promise<void>;
}

/** A system that tests are run on. */
export interface System {
  /** What tests show: `"7.3"`, or `"simulated 7.3"`. */
  readonly name: string;
  /** Its devices, and the backends that work on it. */
  readonly machine: MachineInfo;
  /** Whether it is a real kernel. */
  readonly isReal: boolean;
  /** Gives it to one test. */
  bench(): Bench;
  /** Starts another process for several tests, until it is disposed of. */
  startOther(): AsyncDisposable;
}

/** Whether a kernel is of a version or newer. */
export function since(release: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = release.split(".").map(parseFloat);
  return a > major || (a === major && b >= minor);
}
