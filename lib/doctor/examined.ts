import type { Kernel } from "../kernel/kernel.ts";
import { readable } from "../host/openers.ts";
import type { PciFunction } from "../host/pci/function.ts";
import { type PciHost, type PciTree, pciTree } from "../host/pci/tree.ts";
import type { CheckName, Defect, Finding } from "./finding.ts";

/** A check: a function that yields its findings. */
export type Check = (examined: Examined) => Iterable<Finding>;

/**
 * What checks look at. A file that this user may not read counts as missing; a
 * check that needs it yields no finding, or says that it does not know.
 */
export class Examined {
  /** The system. */
  readonly kernel: Kernel;
  /** Whether certain functions were asked for, rather than the host. */
  readonly asked: boolean;
  /** The functions asked for, else all that could be handed out. */
  readonly functions: readonly PciFunction[];
  /** Bytes that will be mapped for DMA, where that is known. */
  readonly memory: bigint | undefined;
  readonly #host: PciHost;
  #tree: PciTree | undefined;

  /**
   * @param host The host.
   * @param asked The functions asked for; none for the whole host.
   * @param memory Bytes that will be mapped for DMA.
   */
  constructor(
    host: PciHost,
    asked: readonly PciFunction[],
    memory: bigint | undefined,
  ) {
    this.#host = host;
    this.kernel = host.kernel;
    this.asked = asked.length > 0;
    this.functions = this.asked
      ? asked
      : host.functions().filter(canBeHandedOut);
    this.memory = memory;
  }

  /** The topology of the functions. */
  get tree(): PciTree {
    return this.#tree ??= pciTree(this.#host);
  }

  /** The text of a file, or `undefined` where this user cannot read it. */
  read(path: string): string | undefined {
    return readable(() => this.kernel.readFile(path).trimEnd());
  }

  /** The names in a directory; none where this user cannot read it. */
  names(path: string): string[] {
    return readable(() => this.kernel.readdir(path)) ?? [];
  }

  /** Whether a file exists and this user can reach it. */
  has(path: string): boolean {
    return readable(() => this.kernel.stat(path)) !== undefined;
  }

  /** The last value of a parameter on the kernel's command line: `name=…`. */
  parameter(name: string): string | undefined {
    return this.read("/proc/cmdline")?.split(/\s+/)
      .findLast((word) => word.startsWith(`${name}=`))
      ?.slice(name.length + 1);
  }

  /**
   * Looks at each function. A defect that stops a function is only a warning
   * where the whole host is examined, since the other functions work.
   *
   * @param check The check.
   * @param passText The text of the finding when no function has a defect.
   * @param look Returns the defect of a function, if it has one.
   */
  *checkEach(
    check: CheckName,
    passText: string,
    look: (fn: PciFunction) => Defect | undefined,
  ): Generator<Finding> {
    let noneFound = true;
    for (const fn of this.functions) {
      const defect = look(fn);
      if (defect === undefined) continue;
      noneFound = false;
      const { text, remedy, stops = false } = defect;
      yield {
        check,
        verdict: stops && this.asked ? "fail" : "warn",
        device: fn.address,
        text,
        ...(remedy !== undefined && { remedy }),
      };
    }
    if (noneFound && this.functions.length > 0) {
      yield { check, verdict: "pass", text: passText };
    }
  }
}

const PCI_BASE_CLASS_BRIDGE = 0x06;
/** An IOMMU that is a PCI function itself, as AMD's are. */
const PCI_CLASS_SYSTEM_IOMMU = 0x0806;

function canBeHandedOut({ class: code }: PciFunction): boolean {
  return code >> 16 !== PCI_BASE_CLASS_BRIDGE &&
    code >> 8 !== PCI_CLASS_SYSTEM_IOMMU;
}
