import type { Kernel } from "../kernel/kernel.ts";
import { readable } from "../host/openers.ts";
import type { PciFunction } from "../host/pci/function.ts";
import {
  type PciHost,
  type PciTree,
  pciTree,
} from "../host/pci/topology/tree.ts";
import { isEndpointClass } from "../host/pci/endpoint.ts";
import type { CheckName, Defect, Finding } from "./finding.ts";

/** What a check returns of a function that it had nothing to look at of. */
export const UNEXAMINED = "unexamined";

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
  /** The checks that give no verdict, as what they need is not told. */
  readonly unjudged: ReadonlySet<CheckName>;
  readonly #host: PciHost;
  readonly #stopped = new Set<string>();
  #tree: PciTree | undefined;

  /**
   * @param host The host.
   * @param asked The functions asked for; none for the whole host.
   * @param memory Bytes that will be mapped for DMA.
   * @param unjudged The checks that give no verdict.
   */
  constructor(
    host: PciHost,
    asked: readonly PciFunction[],
    memory: bigint | undefined,
    unjudged: ReadonlySet<CheckName> = new Set(),
  ) {
    this.unjudged = unjudged;
    this.#host = host;
    this.kernel = host.kernel;
    this.asked = asked.length > 0;
    this.functions = this.asked
      ? asked
      : host.functions().filter((fn) => isEndpointClass(fn.class));
    this.memory = memory;
  }

  /** The host, for what is asked of it beyond its files. */
  get kernelHost(): PciHost {
    return this.#host;
  }

  /** The functions that something stops, so far. */
  get stopped(): ReadonlySet<string> {
    return this.#stopped;
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
   * where the whole host is examined, since other functions can work. The check
   * passes if there was something to look at.
   *
   * @param check The check.
   * @param passText The text of the finding when no function has a defect.
   * @param look Returns the defect of a function, if it has one, or
   * {@linkcode UNEXAMINED}.
   */
  *checkEach(
    check: CheckName,
    passText: string,
    look: (fn: PciFunction) => Defect | typeof UNEXAMINED | undefined,
  ): Generator<Finding> {
    let noneFound = true;
    let examined = false;
    for (const fn of this.functions) {
      const defect = look(fn);
      if (defect === UNEXAMINED) continue;
      examined = true;
      if (defect === undefined) continue;
      noneFound = false;
      const { text, remedy, stops = false } = defect;
      if (stops && !this.unjudged.has(check)) this.#stopped.add(fn.address);
      yield {
        check,
        verdict: stops && this.asked ? "fail" : "warn",
        device: fn.address,
        text,
        ...(remedy !== undefined && { remedy }),
      };
    }
    if (noneFound && examined) {
      yield { check, verdict: "pass", text: passText };
    }
  }
}
