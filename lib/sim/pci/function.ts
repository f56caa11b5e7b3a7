import { hexDigits, idPair } from "../../hex.ts";
import { Device, type Driver } from "../driver/bus.ts";
import type { Identity } from "./config_space.ts";
import type { ReservedRegion } from "../iommu/iommu.ts";
import { isOnDenylist } from "../../host/driver/denylist.ts";
import type { Machine } from "../machine/machine.ts";
import type { DeviceKind } from "../models/model.ts";
import { parseAddress, type RoutingId } from "./address.ts";
import { PciCore } from "./core.ts";
import { refuse } from "../process/refusal.ts";
import type { Resource } from "./resources.ts";
import { register } from "../vfio/core.ts";
import { VgaPorts } from "./vga_ports.ts";

/** A network interface that a driver makes for a function. */
export interface NetworkInterface {
  /** Its name. */
  readonly name: string;
  /** Its number. */
  readonly index: number;
}

/** The properties of a PCI function. */
export interface PciFunctionOptions {
  /** Its address. */
  readonly address: string;
  /** The path of the bridge or root bus that it is directly below. */
  readonly parent: string;
  /** What its header says. */
  readonly identity: Identity;
  /** Makes its model. */
  readonly kind: DeviceKind;
  /** The ways in which it can be reset, the preferred first. */
  readonly resets: readonly string[];
  /** Its NUMA node; -1 on a machine with one node. */
  readonly numaNode: number;
  /** The memory that the firmware keeps mapped for it. */
  readonly reserved: readonly ReservedRegion[];
  /** The network interface that a driver of the host makes for it. */
  readonly network?: NetworkInterface | undefined;
  /** The contents of its ROM, if it has one. Default: one image for it. */
  readonly romContents?: Uint8Array | undefined;
  /** How many vectors the host has for it. Default: all. */
  readonly vectors?: number | undefined;
  /** What sysfs shows of its config space. Default: what it is. */
  readonly config?: Uint8Array | undefined;
  /** Whether its bus has alternative routing ids. */
  readonly ari: boolean;
  /** For a bridge, the last bus that it leads to. */
  readonly lastBus?: number;
  /** Makes the lines of `resource`, at the first access. */
  readonly resources: (fn: PciFunction) => readonly (Resource | undefined)[];
}

/** A PCI function. */
export class PciFunction extends Device {
  /** The machine it is in. */
  readonly machine: Machine;
  /** Its address, as requests carry it. */
  readonly routing: RoutingId;
  /** What its header says. */
  readonly identity: Identity;
  /** Its NUMA node. */
  readonly numaNode: number;
  /** The ways in which it can be reset, the preferred first. */
  readonly supportedResets: readonly string[];
  override readonly reserved: readonly ReservedRegion[];
  /** Whether it may be suspended: `power/control`. */
  power: "on" | "auto" = "on";
  /** Whether it may lose its power: `d3cold_allowed`. */
  d3cold = true;
  /** The contents of its ROM, if it has one. Default: one image for it. */
  readonly romContents: Uint8Array | undefined;
  /** How many vectors the host has for it. */
  readonly vectors: number;
  /** What sysfs shows of its config space. Default: what it is. */
  readonly shownConfig: Uint8Array | undefined;
  /** Whether its bus has alternative routing ids. */
  readonly ari: boolean;
  /** For a bridge, the last bus that it leads to. */
  readonly lastBus: number | undefined;
  /** Whether its ROM can be read: `rom`. */
  romEnabled = false;
  readonly #kind: DeviceKind;
  readonly #network: NetworkInterface | undefined;
  #vga: VgaPorts | undefined;
  readonly #resources: PciFunctionOptions["resources"];
  #placed: readonly (Resource | undefined)[] | undefined;

  /**
   * Makes a function without a driver.
   *
   * @param machine The machine it is in.
   * @param options Its properties.
   */
  constructor(machine: Machine, options: PciFunctionOptions) {
    const { address, parent, identity, kind, resets } = options;
    super(
      address,
      "pci",
      `${parent}/${address}`,
      [
        idPair(identity.vendor, identity.device),
        `class:${hexDigits(identity.class, 6)}`,
      ],
    );
    this.#kind = kind;
    this.machine = machine;
    this.routing = parseAddress(address);
    this.identity = identity;
    this.numaNode = options.numaNode;
    this.supportedResets = resets;
    this.resets = resets;
    this.reserved = options.reserved;
    this.romContents = options.romContents;
    this.vectors = options.vectors ?? Infinity;
    this.shownConfig = options.config;
    this.ari = options.ari;
    this.lastBus = options.lastBus;
    this.#network = options.network;
    this.#resources = options.resources;
  }

  /** Its network interface, while it is bound to a driver of the host. */
  get network(): NetworkInterface | undefined {
    const present = this.driver?.dma === "kernel" && !this.unbinding;
    return present ? this.#network : undefined;
  }

  /** Whether it is a virtual function. */
  get isVirtual(): boolean {
    return false;
  }

  /** Whether it is a PCI bridge. */
  get isBridge(): boolean {
    return this.identity.class >> 8 === 0x0604;
  }

  /** The ports that it has at fixed addresses, if it is a VGA controller. */
  get vga(): VgaPorts | undefined {
    return this.identity.class >> 8 === 0x0300
      ? this.#vga ??= new VgaPorts()
      : undefined;
  }

  /** The addresses of its BARs and its ROM, as the lines of `resource`. */
  get resources(): readonly (Resource | undefined)[] {
    return this.#placed ??= this.#resources(this);
  }

  /** The addresses of its BARs, by number. */
  get barAddresses(): readonly (bigint | undefined)[] {
    return this.resources.slice(0, 6).map((resource) => resource?.start);
  }

  blocked(iova: bigint): void {
    if (this.group?.kind !== "iommu") return;
    this.machine.faults.push({ device: this.name, iova });
  }

  protected override createCore(): PciCore {
    return new PciCore(this, this.#kind, this.identity);
  }

  override assertTakable(driver: Driver): void {
    // The override may have changed since: `__pci_device_probe()`.
    if (!this.matches(driver)) refuse("ENODEV");
    if (driver.dma !== "user") return;
    // `vfio_pci_core_register_device()` in `drivers/vfio/pci/vfio_pci_core.c`
    if (this.isBridge) refuse("EINVAL");
    // `vfio_pci_is_denylisted()` in `drivers/vfio/pci/vfio_pci.c`
    const { features } = this.machine;
    const { vendor, device } = this.identity;
    if (
      driver.name === "vfio-pci" && features.denylist &&
      isOnDenylist(vendor, device, features.release)
    ) refuse("EINVAL");
    register(this.machine, this);
  }

  override settled(driver: Driver, bound: boolean): void {
    if (driver.dma === "user") this.power = bound ? "auto" : "on";
  }
}
