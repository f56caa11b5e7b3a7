/**
 * Which buses bridges lead to.
 *
 * @module
 */

import { parseAddress } from "../pci/address.ts";
import { spacingOf } from "../pci/sriov.ts";
import type { FunctionTopology } from "./topology.ts";

const LAST_BUS = 0xff;

/** The buses of a machine. */
export class Buses {
  readonly #functions: ReadonlyMap<string, FunctionTopology>;
  readonly #slotsWithVirtual: ReadonlySet<string>;
  readonly #forwardsAri: boolean;
  #ranges: ReadonlyMap<string, Range> | undefined;
  #used: ReadonlyMap<number, readonly number[]> | undefined;

  /**
   * @param functions The functions, by address.
   * @param commandLine The kernel's command line.
   */
  constructor(
    functions: ReadonlyMap<string, FunctionTopology>,
    commandLine: string,
  ) {
    this.#functions = functions;
    this.#slotsWithVirtual = new Set(
      [...functions].filter(([, { sriov }]) => sriov !== undefined)
        .map(([address]) => slotOf(address)),
    );
    this.#forwardsAri = !/(?:^|\s)pci=(?:\S*,)?noari(?:,|\s|$)/
      .test(commandLine);
  }

  /**
   * Whether the bus of a function has alternative routing ids, as it is below a
   * port that forwards them (`pci_configure_ari()` in `drivers/pci/pci.c`).
   * Cards with virtual functions have them.
   */
  hasAri(address: string): boolean {
    const { behind } = this.#functions.get(address) ?? {};
    if (behind === undefined || !this.#forwardsAri) return false;
    return (this.#functions.get(behind)?.ari ?? true) &&
      this.#slotsWithVirtual.has(slotOf(address));
  }

  /** The last bus of the bus that a function is on, or of those below it. */
  lastFrom(address: string): number {
    const { behind } = this.#functions.get(address) ?? {};
    return behind === undefined ? LAST_BUS : this.lastBehind(behind);
  }

  /**
   * The last bus that a bridge leads to. Firmware leaves room for virtual
   * functions, up to the buses of other bridges (`pci_iov_bus_range()` in
   * `drivers/pci/iov.c`).
   */
  lastBehind(bridge: string): number {
    const { lastBus } = this.#functions.get(bridge) ?? {};
    if (lastBus !== undefined) return lastBus;
    this.#ranges ??= rangesOf(this.#functions);
    const { used, wanted } = this.#ranges.get(bridge) ?? NONE;
    const others = this.#used ??= usedBuses(this.#functions);
    const { domain } = parseAddress(bridge);
    const next = others.get(domain)?.find((bus) => bus > used);
    return Math.min(wanted, (next ?? LAST_BUS + 1) - 1);
  }
}

/** The last buses that are behind a bridge, and would be. */
interface Range {
  readonly used: number;
  readonly wanted: number;
}

const NONE: Range = { used: 0, wanted: 0 };

/** The buses behind each bridge. */
function rangesOf(
  functions: ReadonlyMap<string, FunctionTopology>,
): Map<string, Range> {
  const ranges = new Map<string, Range>();
  for (const [address, topology] of functions) {
    const bus = busOf(address);
    const virtual = lastVirtual(address, topology);
    let { behind } = topology;
    while (behind !== undefined) {
      const { used, wanted } = ranges.get(behind) ?? NONE;
      ranges.set(behind, {
        used: Math.max(used, bus),
        wanted: Math.max(wanted, bus, virtual),
      });
      behind = functions.get(behind)?.behind;
    }
  }
  return ranges;
}

/** The buses of each domain with functions other than virtual ones, in order. */
function usedBuses(
  functions: ReadonlyMap<string, FunctionTopology>,
): Map<number, number[]> {
  const buses = new Map<number, Set<number>>();
  for (const [address, { id, model }] of functions) {
    if (id === undefined && model === undefined) continue;
    const { domain } = parseAddress(address);
    buses.set(domain, (buses.get(domain) ?? new Set()).add(busOf(address)));
  }
  return new Map(
    [...buses].map(([domain, each]) => [
      domain,
      [...each].sort((a, b) => a - b),
    ]),
  );
}

const slotOf = (address: string) => address.slice(0, -1);
const busOf = (address: string) => parseAddress(address).id >> 8;

/** The bus of the last virtual function that a function could have. */
function lastVirtual(address: string, { sriov }: FunctionTopology): number {
  if (sriov === undefined || sriov.total === 0) return 0;
  const { offset, stride } = spacingOf(sriov);
  const last = parseAddress(address).id + offset + stride * (sriov.total - 1);
  return last >> 8;
}
