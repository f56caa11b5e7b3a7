/**
 * The system that a conformance test runs on: a real kernel in a virtual
 * machine, or a simulated one.
 *
 * @module
 */
import type { BackendName, Host } from "../../mod.ts";
import type { MachineInfo } from "../vm/machine_env.ts";

/** An address below `vm.mmap_min_addr`, where no process has memory. */
export const NOBODYS_MEMORY = 0x1000n;

/** The kernel's samples of mediated devices. */
export type Sample = "mbochs" | "mdpy" | "mtty";

/** The resources of an attached device that a process holds. */
export interface Holdings {
  /** The target of each file descriptor. */
  readonly descriptors: readonly string[];
  /** Its mappings of registers and of DMA memory. */
  readonly mappings: readonly string[];
  /** Its locked memory, in kB. */
  readonly locked: number;
}

/** Another process of the same system, which attaches devices on request. */
export interface OtherProcess {
  /** Its name and number, as the library's messages have them. */
  readonly name: string;
  /**
   * Attaches a device in it.
   *
   * @param address The PCI address, bound to vfio-pci.
   * @param backend The backend that it takes.
   * @param detachOnRequest Whether it gives the device up when it is asked to.
   */
  attach(
    address: string,
    backend: BackendName,
    detachOnRequest?: boolean,
  ): Promise<AsyncDisposable>;
  /** Detaches its device. */
  detach(): Promise<void>;
}

/** A system to test on. It ends when it is disposed of. */
export interface Bench extends AsyncDisposable {
  /** Its devices, and the backends that work on it. */
  readonly machine: MachineInfo;
  /** Its kernel's release, as `uname -r` says it. */
  readonly release: string;
  /** Whether no test has used it before. */
  readonly isNew: boolean;
  /** The system as the library sees it. */
  readonly host: Host;
  /** Reads what this process holds now, without the library. */
  holdings(): Holdings;
  /** Waits until interrupts that were raised have arrived. */
  settle(): Promise<void>;
  /** Loads the module of a sample that the kernel has. */
  loadSample(name: Sample): Promise<void>;
  /** This process's name in the library's messages. */
  readonly processName: string;
  /** Another process, where {@linkcode System.startOther} has started it. */
  readonly other: OtherProcess;
  /**
   * Asserts that the IOMMU stops an access of a device, and reports it.
   *
   * @param forbidden Makes the device access memory.
   */
  assertFault(forbidden: () => Promise<void>): Promise<void>;
}

/** A system that tests are run on. */
export interface System {
  /** Its name in the names of tests: `"7.3"`, or `"simulated 7.3"`. */
  readonly name: string;
  /** Its devices, and the backends that work on it. */
  readonly machine: MachineInfo;
  /** Whether it is a real kernel. */
  readonly isReal: boolean;
  /** The samples that its kernel has. */
  readonly samples: readonly Sample[];
  /** Returns it for one test. */
  bench(): Bench;
  /** Starts another process for several tests, until it is disposed of. */
  startOther(): AsyncDisposable;
}

/** Whether a kernel is of a version or newer. */
export function since(release: string, major: number, minor: number): boolean {
  const [a = 0, b = 0] = release.split(".").map(parseFloat);
  return a > major || (a === major && b >= minor);
}
