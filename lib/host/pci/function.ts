/**
 * PCI functions, as sysfs has them.
 *
 * @module
 */

import { HostDevice } from "../device.ts";
import { comparePciAddresses } from "../../pci/address.ts";
import { className } from "../../pci/class_names.ts";
import { isEndpointClass } from "./endpoint.ts";
import { PciEvent } from "./event.ts";
import { pciIds } from "./ids.ts";
import { ifPresent, linkTarget, namesIn, readAttribute } from "../sysfs.ts";

/** One base address register of a function. */
export interface Bar {
  /** Its number, 0 to 5. The upper half of a 64-bit one has none. */
  readonly index: number;
  /** Whether it is in memory or in I/O port space. */
  readonly kind: "memory" | "io";
  /** Whether it can lie above 4 GiB. */
  readonly is64bit: boolean;
  /** Whether reading it has no side effect. */
  readonly prefetchable: boolean;
  /** Where it lies in the host's physical address space, or port space. */
  readonly start: bigint;
  /** Bytes. */
  readonly size: number;
}

// include/linux/ioport.h
const IORESOURCE_IO = 0x100n;
const IORESOURCE_PREFETCH = 0x2000n;
const IORESOURCE_MEM_64 = 0x100000n;

/** A header has at most six; after them come the ROM, VF BARs and windows. */
const BARS = 6;

/**
 * Decodes lines of the attribute `resource`, one for each BAR.
 *
 * @param lines The lines; zeros stand for no BAR.
 */
export function barsIn(lines: readonly string[]): Bar[] {
  return lines.flatMap((line, index) => {
    const [start = 0n, end = 0n, flags = 0n] = line.split(" ").map(BigInt);
    if (flags === 0n) return [];
    return [{
      index,
      kind: (flags & IORESOURCE_IO) !== 0n ? "io" : "memory",
      is64bit: (flags & IORESOURCE_MEM_64) !== 0n,
      prefetchable: (flags & IORESOURCE_PREFETCH) !== 0n,
      start,
      size: Number(end - start + 1n),
    }];
  });
}

/**
 * A PCI function of this host.
 *
 * What its hardware fixes is read once, at the first access; what can change is
 * read at each access. {@linkcode Host.function} makes it.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 *
 * const fn = new Host().function("0000:01:00.0");
 * console.log(fn.vendorName, fn.deviceName, fn.driver);
 * for (const { index, size } of fn.bars) console.log(`BAR ${index}: ${size}`);
 * ```
 */
export class PciFunction extends HostDevice {
  #lazyEvent: PciEvent | undefined;
  #revision: number | undefined;

  /** Its address as sysfs writes it: `0000:01:00.0`. */
  get address(): string {
    return this.name;
  }

  /** Vendor id, 16 bits. */
  get vendor(): number {
    return this.#event.vendor;
  }

  /** Device id, 16 bits. */
  get device(): number {
    return this.#event.device;
  }

  /** Subsystem vendor id, 16 bits. */
  get subsystemVendor(): number {
    return this.#event.subsystemVendor;
  }

  /** Subsystem id, 16 bits. */
  get subsystemDevice(): number {
    return this.#event.subsystemDevice;
  }

  /** Base class, subclass and programming interface, 24 bits: `0x020000`. */
  get class(): number {
    return this.#event.class;
  }

  /** Revision id, 8 bits. */
  get revision(): number {
    const path = `${this.path}/revision`;
    return this.#revision ??= Number(
      readAttribute(this.host.kernel, path, this.name),
    );
  }

  /** What modules are matched with: `pci:v00008086d…`. */
  get modalias(): string {
    return this.#event.modalias;
  }

  /** The NUMA node it is next to, where the host has several. */
  get numaNode(): number | undefined {
    const { kernel } = this.host;
    const text = ifPresent(() => kernel.readFile(`${this.path}/numa_node`));
    return text === undefined || Number(text) < 0 ? undefined : Number(text);
  }

  /**
   * The only driver that may bind it, where one is set. Read each time.
   *
   * The kernel writes `(null)` where none is set.
   */
  get driverOverride(): string | undefined {
    const { kernel } = this.host;
    const path = `${this.path}/driver_override`;
    return overrideOf(readAttribute(kernel, path, this.name));
  }

  /**
   * Its base address registers, by number. Read each time: some can be resized.
   */
  get bars(): Bar[] {
    const path = `${this.path}/resource`;
    const text = readAttribute(this.host.kernel, path, this.name);
    return barsIn(text.split("\n").slice(0, BARS));
  }

  /**
   * The ways the kernel can reset it, in the order it tries them: of `"flr"`,
   * `"pm"`, `"bus"` and so on. Empty where it cannot, and before Linux 5.15,
   * which does not say. Read each time.
   */
  get resetMethods(): string[] {
    const { kernel } = this.host;
    const text = ifPresent(() => kernel.readFile(`${this.path}/reset_method`));
    return text?.split(/\s+/).filter((method) => method !== "") ?? [];
  }

  /** For a virtual function, the function that it is part of. */
  get physicalFunction(): PciFunction | undefined {
    return this.#linked("physfn");
  }

  /** The virtual functions that it has now, in order. Read each time. */
  get virtualFunctions(): PciFunction[] {
    return namesIn(this.host.kernel, this.path)
      .filter((name) => /^virtfn\d+$/.test(name))
      .flatMap((name) => this.#linked(name) ?? [])
      .sort((a, b) => comparePciAddresses(a.address, b.address));
  }

  /** Its vendor's name, where `pci.ids` is installed and has it. */
  get vendorName(): string | undefined {
    return pciIds(this.host.kernel).vendor(this.vendor);
  }

  /** Its name, where `pci.ids` is installed and has it. */
  get deviceName(): string | undefined {
    return pciIds(this.host.kernel).device(this.vendor, this.device);
  }

  /**
   * What it is, as `pci.ids` has it, or else the PCI specification: `"Ethernet
   * controller"`.
   */
  get className(): string | undefined {
    const code = this.class;
    return pciIds(this.host.kernel).class(code) ?? className(code);
  }

  #linked(name: string): PciFunction | undefined {
    const path = linkTarget(this.host.kernel, `${this.path}/${name}`);
    return path === undefined
      ? undefined
      : new PciFunction(this.host, path, "pci");
  }

  /** What its hardware fixes is read once. */
  get #event(): PciEvent {
    return this.#lazyEvent ??= new PciEvent(this);
  }
}

/** Whether a device is a PCI function that can be handed out. */
export function isEndpoint(device: HostDevice): device is PciFunction {
  return device instanceof PciFunction && isEndpointClass(device.class);
}

/** The driver that `driver_override` names, from its text. */
export function overrideOf(text: string): string | undefined {
  return text === "(null)" ? undefined : text;
}
