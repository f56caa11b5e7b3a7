/**
 * The topology of PCI functions: root buses, bridges, and what is behind them.
 *
 * @module
 */

import { hexDigits, idPair } from "../../../hex.ts";
import { acsOf } from "./acs.ts";
import type { DeviceHost } from "../../device.ts";
import { makerPath } from "./made_domain.ts";
import { basename, dirname } from "../../path.ts";
import { comparePciAddresses } from "../../../pci/address.ts";
import type { PciFunction } from "../function.ts";
import { isBridgeClass } from "../../driver/vfio_driver.ts";

/** A host whose functions can be listed. */
export interface PciHost extends DeviceHost {
  /** All PCI functions, by address. */
  functions(): PciFunction[];
}

/** A function and what is behind it. Plain data, the same as JSON. */
export interface PciNode {
  /** Its address as sysfs writes it: `0000:01:00.0`. */
  readonly address: string;
  /** Vendor and device: `"8086:10d3"`. */
  readonly id: string;
  /** Class code, 24 bits. */
  readonly class: number;
  /** What it is: `"Ethernet controller"`. */
  readonly className?: string;
  /**
   * Its vendor's and its own name, where `pci.ids` has them: `"Intel Corporation
   * 82574L"`, or `"Intel Corporation device 10d3"` where it has only the
   * vendor's.
   */
  readonly name?: string;
  /** The driver that it is bound to. */
  readonly driver?: string;
  /** The number of its IOMMU group. */
  readonly group?: string;
  /** Whether it is a bridge. */
  readonly bridge: boolean;
  /** The functions behind it, without virtual functions. */
  readonly behind: readonly PciNode[];
  /** Its virtual functions. */
  readonly virtualFunctions: readonly PciNode[];
}

/** A root bus: what a host bridge leads to. */
export interface RootBus {
  /** Its domain and number: `"0000:00"`. */
  readonly name: string;
  /** The NUMA node that it is next to, where the host has several. */
  readonly numaNode?: number;
  /** The functions on it. */
  readonly functions: readonly PciNode[];
}

/** Why functions that are not one device are in one IOMMU group. */
export interface SharedGroup {
  /** The group's number. */
  readonly group: string;
  /** The addresses of its functions. */
  readonly functions: readonly string[];
  /** What fails to isolate them. */
  readonly causes: readonly SharingCause[];
}

/** A bridge or a slot that fails to isolate functions. */
export interface SharingCause {
  /** A bridge's address, or a slot's: `0000:00:1f`. */
  readonly device: string;
  /** A clause to go after that: `"has no ACS"`. */
  readonly reason: string;
}

/** The topology of a host's functions. Plain data, the same as JSON. */
export interface PciTree {
  /** Its root buses, by number. */
  readonly buses: readonly RootBus[];
  /** The IOMMU groups that hold several functions, by number. */
  readonly sharedGroups: readonly SharedGroup[];
}

/**
 * A cause in words.
 *
 * @param cause What fails to keep functions apart.
 * @returns A clause: `"slot 0000:00:1f has no ACS"`.
 */
export function causeText({ device, reason }: SharingCause): string {
  return `${device.includes(".") ? "" : "slot "}${device} ${reason}`;
}

/** A function, with where it is. */
interface Placed {
  readonly fn: PciFunction;
  readonly group: string | undefined;
  readonly bridge: boolean;
  /** The physical function of a virtual one. */
  readonly physical: string | undefined;
  /** The bridges that it is behind, the nearest first. */
  readonly bridges: readonly Placed[];
  /** The root bus that it is on, or below: `"0000:00"`. */
  readonly bus: string;
}

/**
 * Reads the topology of a host's functions. Only root can read which bridge
 * lacks ACS.
 *
 * @param host The host.
 *
 * @example Why a function shares its group
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { pciTree } from "@passthru/vfio/host";
 *
 * for (const { group, functions, causes } of pciTree(new Host()).sharedGroups) {
 *   console.log(`group ${group} holds ${functions.join(", ")}`);
 *   for (const { device, reason } of causes) console.log(device, reason);
 * }
 * ```
 */
export function pciTree(host: PciHost): PciTree {
  const placed = place(host.functions());
  const children = Map.groupBy(
    placed,
    ({ bridges, physical, bus }) =>
      physical ?? bridges[0]?.fn.address ?? `bus ${bus}`,
  );
  const names = new Map<string, Names>();
  const nodes = (parent: string): PciNode[] =>
    (children.get(parent) ?? []).map((each) => nodeOf(each, names, nodes));
  const buses = [...new Set(placed.map(({ bus }) => bus))];
  return {
    buses: buses.sort(comparePciAddresses).map((name) => {
      const [first] = children.get(`bus ${name}`) ?? [];
      const numaNode = first?.fn.numaNode;
      return {
        name,
        ...(numaNode !== undefined && { numaNode }),
        functions: nodes(`bus ${name}`),
      };
    }),
    sharedGroups: sharedGroups(placed),
  };
}

function place(functions: readonly PciFunction[]): Placed[] {
  const byPath = new Map<string, Placed>();
  // The path of a bridge is a prefix of the paths behind it.
  const sorted = functions.toSorted((a, b) => a.path.length - b.path.length);
  for (const fn of sorted) {
    const parent = dirname(fn.path);
    const bridge = byPath.get(parent);
    byPath.set(fn.path, {
      fn,
      group: fn.iommuGroup?.id,
      bridge: isBridgeClass(fn.class),
      physical: fn.physicalFunction?.address,
      bridges: bridge === undefined ? [] : [bridge, ...bridge.bridges],
      bus: bridge?.bus ?? basename(parent).replace(/^pci/, ""),
    });
  }
  return functions.map((fn) => byPath.get(fn.path)!);
}

/** Names of a function, which many share: the database is searched once. */
type Names = Pick<PciNode, "name" | "className">;

function namesOf(fn: PciFunction): Names {
  const { className, vendorName } = fn;
  const deviceName = fn.deviceName ?? `device ${hexDigits(fn.device, 4)}`;
  return {
    ...(className !== undefined && { className }),
    ...(vendorName !== undefined && { name: `${vendorName} ${deviceName}` }),
  };
}

function nodeOf(
  { fn, group, bridge, physical }: Placed,
  names: Map<string, Names>,
  children: (of: string) => PciNode[],
): PciNode {
  const id = idPair(fn.vendor, fn.device);
  const key = `${id} ${fn.class}`;
  const named = names.get(key) ?? namesOf(fn);
  names.set(key, named);
  const { driver } = fn;
  const below = physical === undefined ? children(fn.address) : [];
  const virtual = new Set(
    below.length === 0 ? [] : fn.virtualFunctions.map(({ address }) => address),
  );
  return {
    address: fn.address,
    id,
    class: fn.class,
    ...named,
    ...(driver !== undefined && { driver }),
    ...(group !== undefined && { group }),
    bridge,
    behind: below.filter(({ address }) => !virtual.has(address)),
    virtualFunctions: below.filter(({ address }) => virtual.has(address)),
  };
}

function sharedGroups(placed: readonly Placed[]): SharedGroup[] {
  const groups = Map.groupBy(placed, ({ group }) => group);
  return [...groups]
    .flatMap(([group, members]) =>
      group === undefined || members.length < 2 ? [] : [{
        group,
        functions: members.map(({ fn }) => fn.address),
        causes: causesOf(members),
      }]
    )
    .sort((a, b) => Number(a.group) - Number(b.group));
}

/**
 * A function joins the group of the bridge above it unless every bridge from
 * there up isolates what is behind it, and the group of its slot unless both
 * have ACS: `pci_device_group()` in `drivers/iommu/iommu.c`. Some IOMMUs leave
 * out bridges. A bridge in a group of its own isolates what is behind it, even
 * without ACS (`drivers/pci/quirks.c`).
 */
function causesOf(members: readonly Placed[]): SharingCause[] {
  const inGroup = new Set(members);
  const above = members.flatMap(({ bridges }) => bridges);
  const bridges = [...new Set(above)].filter((bridge) =>
    inGroup.has(bridge) || bridge.group === undefined &&
      above.filter((each) => each === bridge).length > 1
  );
  const made = new Set(members.map(({ fn }) => makerPath(fn.path)));
  const makers = members.filter(({ fn }) => made.has(fn.path))
    .map(({ fn }) => ({
      device: fn.address,
      reason: "does the DMA of all that is in the domain its driver makes",
    }));
  const slots = Map.groupBy(
    members.filter(({ physical }) => physical === undefined),
    ({ fn }) => fn.address.slice(0, fn.address.lastIndexOf(".")),
  );
  const causes = [
    ...bridges.map(({ fn }) => ({ device: fn.address, fns: [fn] })),
    ...[...slots].filter(([, functions]) => functions.length > 1)
      .map(([device, functions]) => ({
        device,
        fns: functions.map(({ fn }) => fn),
      })),
  ].flatMap(({ device, fns }) => {
    const acs = fns.map(acsOf).find(({ isolates }) => isolates !== true);
    return acs === undefined ? [] : [{ device, reason: acs.reason }];
  });
  return [...makers, ...causes].sort((a, b) =>
    comparePciAddresses(a.device, b.device)
  );
}
