/**
 * Makes PCI functions from a topology.
 *
 * @module
 */

import { Group } from "../driver/bus.ts";
import { Buses } from "./buses.ts";
import { groupKey, type Placed } from "./grouping.ts";
import { parseReserved } from "../iommu/iommu.ts";
import { kindNamed, kindWithId } from "./kinds.ts";
import { DomainMaker } from "../pci/made_domain.ts";
import { hangsInReset } from "../../host/pci/quirks.ts";
import type { Machine } from "./machine.ts";
import { memoryFunction } from "../models/memory.ts";
import type { DeviceKind } from "../models/model.ts";
import { parseId } from "./ids.ts";
import { portOf } from "./port.ts";
import { busName, parseAddress } from "../pci/address.ts";
import { PciFunction, type PciFunctionOptions } from "../pci/function.ts";
import { parseBars, placement, virtualPlacement } from "./placement.ts";
import { AddressSpaces } from "../pci/resources.ts";
import {
  PhysicalFunction,
  spacingOf,
  type SriovCapability,
  virtualAddress,
  VirtualFunction,
} from "../pci/sriov.ts";
import type { FunctionTopology, Topology } from "./topology.ts";
import type { SriovRecording } from "../../host/snapshot/recording.ts";

/** A function, and the driver that it is bound to at boot. */
export interface Built {
  /** The function. */
  readonly fn: PciFunction;
  /** The driver's name. */
  readonly driver: string | undefined;
  /** Its entry in the topology. */
  readonly topology: FunctionTopology;
}

/** What a bridge is that is only named. */
export const BRIDGE: FunctionTopology = { id: "8086:a110", class: 0x060400 };
const UNASSIGNED_CLASS = 0xff0000;

/** Makes the functions of one machine. */
export class FunctionBuilder {
  readonly #machine: Machine;
  readonly #pcieport: boolean;
  readonly #topologies: Map<string, FunctionTopology>;
  /** The slots that have more than function 0: `"0000:01:00."`. */
  readonly #slots: ReadonlySet<string>;
  /** The bridges with conventional functions behind them. */
  readonly #toConventional: ReadonlySet<string | undefined>;
  readonly #buses: Buses;
  readonly #spaces = new AddressSpaces();
  readonly #placed = new Map<string, Placed>();
  readonly #added = new Set<Placed>();
  /** The addresses of functions that are not there. */
  readonly #absent: ReadonlySet<string>;
  /** The functions in domains that drivers make, by the drivers' functions. */
  readonly #made = new Map<string, readonly Placed[]>();
  readonly #groups = new Map<string, Group>();
  readonly #built: Built[] = [];
  /** The index of the next network interface. The loopback interface has 1. */
  #nextInterface = 2;

  /**
   * @param machine The machine that the functions are added to.
   * @param topology The topology.
   */
  constructor(machine: Machine, { functions = {}, drivers, kept }: Topology) {
    this.#machine = machine;
    this.#absent = new Set(kept?.absent);
    this.#pcieport = drivers?.["pcieport"] !== false;
    this.#topologies = new Map(Object.entries(functions));
    for (const { behind } of Object.values(functions)) {
      if (behind !== undefined && !this.#topologies.has(behind)) {
        this.#topologies.set(behind, BRIDGE);
      }
    }
    this.#buses = new Buses(this.#topologies, machine.features.commandLine);
    this.#slots = new Set(
      [...this.#topologies.keys()].filter((address) => !address.endsWith("0"))
        .map((address) => address.slice(0, -1)),
    );
    this.#toConventional = new Set(
      Object.values(functions).filter(({ conventional }) => conventional)
        .map(({ behind }) => behind),
    );
  }

  /** Makes the functions, in their groups and without drivers. */
  build(): readonly Built[] {
    for (const { group } of this.#topologies.values()) {
      if (typeof group === "number") this.#machine.groupNumbers.reserve(group);
    }
    const virtual = new Set(
      [...this.#topologies].flatMap(([address, { sriov }]) =>
        sriov === undefined ? [] : enabledAddresses(address, sriov)
      ),
    );
    const addresses = [...this.#topologies.keys()]
      .filter((address) => !virtual.has(address))
      .sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    const placed = addresses.map((address) => this.#place(address));
    for (const each of placed) {
      const { address, maker } = each;
      if (maker === undefined) continue;
      const isThere = !this.#absent.has(address);
      if (isThere && (maker.topology.driver ?? null) === null) {
        throw new TypeError(
          `${address} cannot be behind ${maker.address}: that has no driver ` +
            "to make its domain",
        );
      }
      const inner = this.#made.get(maker.address) ?? [];
      this.#made.set(maker.address, [...inner, each]);
    }
    for (const each of placed) this.#add(each);
    return this.#built;
  }

  #place(address: string): Placed {
    const present = this.#placed.get(address);
    if (present !== undefined) return present;
    const topology = this.#topologies.get(address)!;
    const { behind } = topology;
    const upstream = behind === undefined ? undefined : this.#place(behind);
    const makes = upstream !== undefined && !upstream.isBridge &&
      parseAddress(upstream.address).domain !== parseAddress(address).domain;
    if (upstream?.isBridge === false && !makes) {
      throw new TypeError(
        `${address} cannot be behind ${behind}: that is neither a bridge, ` +
          "class 0x060400, nor a function whose driver makes a domain for it",
      );
    }
    const bridge = makes ? undefined : upstream;
    const isBridge = (topology.class ?? 0) >> 8 === 0x0604;
    const placed: Placed = {
      address,
      topology,
      bridges: bridge === undefined ? [] : [bridge, ...bridge.bridges],
      maker: makes ? upstream : upstream?.maker,
      isBridge,
      toConventional: isBridge && (this.#toConventional.has(address) ||
        (topology.conventional ?? bridge?.toConventional ?? false)),
    };
    this.#placed.set(address, placed);
    return placed;
  }

  /** Adds a function, after what it is behind. */
  #add(placed: Placed): void {
    if (this.#added.has(placed) || this.#absent.has(placed.address)) return;
    this.#added.add(placed);
    const { address, topology, isBridge, toConventional } = placed;
    const upstream = placed.bridges[0] ?? placed.maker;
    if (upstream !== undefined) this.#add(upstream);
    const { sriov } = topology;
    const fn = this.#make(placed);
    // pcieport does not bind bridges to conventional PCI
    // (`pcie_portdrv_probe()`).
    const driver = isBridge && !toConventional && this.#pcieport
      ? "pcieport"
      : undefined;
    this.#record(fn, topology, driver);
    if (!(fn instanceof PhysicalFunction) || sriov === undefined) return;
    fn.autoprobe = sriov.autoprobe ?? true;
    for (const virtual of enabledAddresses(address, sriov)) {
      const topology = this.#topologies.get(virtual) ?? {};
      const made = fn.make();
      if (topology.group !== undefined) {
        this.#machine.leaveGroup(made);
        this.#join(made, topology.group);
      }
      this.#record(made, topology, sriov.driver);
    }
  }

  /** Makes a function, in its group and without a driver. */
  #make(placed: Placed): PciFunction {
    const { topology } = placed;
    const options = this.#options(placed);
    const inner = this.#made.get(placed.address) ?? [];
    const fn = inner.length > 0
      ? this.#maker(options, inner)
      : topology.sriov === undefined
      ? new PciFunction(this.#machine, options)
      : this.#physical(options, placed, topology.sriov);
    this.#machine.devices.add(fn);
    this.#machine.announce("add", fn.path);
    this.#join(fn, topology.group, () => this.#groupFor(placed));
    return fn;
  }

  /** Makes a function whose driver makes a domain of other functions. */
  #maker(
    options: PciFunctionOptions,
    inner: readonly Placed[],
  ): DomainMaker {
    const buses = inner.filter(({ bridges }) => bridges.length === 0)
      .map(({ address }) => `pci${busName(parseAddress(address))}`);
    return new DomainMaker(
      this.#machine,
      options,
      [...new Set(buses)],
      () => inner.map((placed) => this.#make(placed)),
    );
  }

  #record(fn: PciFunction, topology: FunctionTopology, usual?: string): void {
    const { driver = usual } = topology;
    this.#built.push({ fn, topology, driver: driver ?? undefined });
  }

  /** Puts a function into the group given, or into its default group. */
  #join(
    fn: PciFunction,
    group: number | null | undefined,
    usual: () => Group = () => this.#machine.newGroup("iommu"),
  ): void {
    if (this.#machine.iommu === undefined || group === null) return;
    const named = group === undefined
      ? usual()
      : this.#machine.groups.get(String(group)) ?? new Group(String(group));
    this.#machine.join(fn, named);
  }

  /**
   * Puts a virtual function into a group of its own, or into that of the bridge
   * that did not isolate its physical function either (`pci_device_group()`).
   */
  #joinVirtual(
    fn: PciFunction,
    { group }: PciFunction,
    bridge: Placed | undefined,
  ): void {
    if (group === undefined) return;
    const shared = bridge !== undefined &&
      this.#machine.devices.on("pci").get(bridge.address)?.group === group;
    this.#join(fn, undefined, shared ? () => group : undefined);
  }

  #groupFor(placed: Placed): Group {
    const key = groupKey(placed);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = this.#machine.newGroup("iommu");
      this.#groups.set(key, group);
    }
    return group;
  }

  #options(placed: Placed): PciFunctionOptions {
    const { address, topology, bridges, maker, isBridge } = placed;
    const routing = parseAddress(address);
    const upstream = bridges[0] ?? maker;
    const parent =
      (upstream === undefined
        ? "/sys/devices"
        : this.#machine.devices.on("pci").get(upstream.address)!.path) +
      (bridges[0] === undefined ? `/pci${busName(routing)}` : "");
    const kind = this.#kind(placed);
    const conventional = topology.conventional ??
      bridges[0]?.toConventional ?? kind.conventional ?? false;
    if (conventional && topology.serial !== undefined) {
      throw new TypeError(
        `functions["${address}"].serial: a conventional function can have no ` +
          "serial number",
      );
    }
    const [vendor, device] = parseId(address, topology.id ?? kind.id);
    const usual = isBridge || conventional || hangsInReset({ vendor, device })
      ? []
      : ["flr"];
    const [subsystemVendor, subsystem] = topology.subsystem === undefined
      ? [vendor, 0]
      : parseId(address, topology.subsystem);
    return {
      address,
      parent,
      kind,
      identity: {
        vendor,
        device,
        subsystemVendor,
        subsystem,
        class: topology.class ?? kind.class,
        port: portOf(placed, conventional),
        revision: topology.revision ?? 0,
        serial: topology.serial,
        express: !conventional,
        multifunction: this.#isFirstOfSeveral(address),
      },
      resets: topology.reset ?? (kind.name === "memory" ? usual : kind.resets),
      numaNode: topology.numaNode ?? -1,
      reserved: (topology.reserved ?? []).map(parseReserved),
      romContents: topology.romContents,
      vectors: topology.vectors,
      config: topology.config === undefined
        ? undefined
        : Uint8Array.fromHex(topology.config.replaceAll(/\s/g, "")),
      network: topology.network === undefined
        ? undefined
        : { name: topology.network, index: this.#nextInterface++ },
      resources: placement(this.#spaces, topology, isBridge),
      ari: this.#buses.hasAri(address),
      ...isBridge && { lastBus: this.#buses.lastBehind(address) },
    };
  }

  /** Whether it is function 0 of a slot with further functions. */
  #isFirstOfSeveral(address: string): boolean {
    return address.endsWith(".0") && this.#slots.has(address.slice(0, -1));
  }

  #kind({ address, topology }: Placed): DeviceKind {
    const { id, model, interrupts = { intx: true, msi: 1 } } = topology;
    if (model !== undefined) return kindNamed(model);
    if (id === undefined) {
      throw new TypeError(
        `Cannot simulate ${address}: it has neither an id nor a model`,
      );
    }
    const { intx = false, msi = 0, msix = 0 } = interrupts;
    return kindWithId(id) ?? memoryFunction(
      { id, class: UNASSIGNED_CLASS, resets: [] },
      { bars: parseBars(topology.bars), intx, msi, msix },
    );
  }

  #physical(
    options: PciFunctionOptions,
    { topology, bridges }: Placed,
    sriov: SriovRecording,
  ): PhysicalFunction {
    const { address } = options;
    const [vendor, device] = parseId(address, sriov.id);
    if (vendor !== options.identity.vendor) {
      throw new TypeError(
        `Cannot simulate ${address}: expected its vendor in the id of its ` +
          "virtual functions",
      );
    }
    const capability: SriovCapability = {
      ...spacingOf(sriov),
      total: sriov.total,
      device,
      lastBus: this.#buses.lastFrom(address),
      oneDevice: bridges.length > 0 && !options.ari,
    };
    const bars = parseBars(sriov.bars);
    const { msi = 0, msix = 0 } = topology.interrupts ?? {};
    const kind = memoryFunction(
      { id: sriov.id, class: options.identity.class, resets: [] },
      { bars, msi: msi, msix, intx: false },
    );
    return new PhysicalFunction(
      this.#machine,
      options,
      capability,
      (physical, index) => {
        const made = new VirtualFunction(physical, {
          ...options,
          kind,
          address: virtualAddress(physical.routing, capability, index),
          identity: {
            ...options.identity,
            device,
            multifunction: false,
            serial: undefined,
          },
          resets: ["flr"],
          reserved: [],
          config: undefined,
          network: undefined,
          resources: () => virtualPlacement(physical.resources, bars, index),
        });
        this.#machine.devices.add(made);
        this.#machine.announce("add", made.path);
        this.#joinVirtual(made, physical, bridges[0]);
        return made;
      },
    );
  }
}

function enabledAddresses(address: string, sriov: SriovRecording): string[] {
  const { enabled = 0 } = sriov;
  const routing = parseAddress(address);
  return Array.from(
    { length: enabled },
    (_, i) => virtualAddress(routing, spacingOf(sriov), i),
  );
}
