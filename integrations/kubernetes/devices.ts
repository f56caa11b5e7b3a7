/**
 * The devices that a plugin offers: the functions of an IOMMU group as one, as
 * only one container can have a group.
 *
 * @module
 */

import { VfioError } from "../../lib/errors.ts";
import { isVfioDriver } from "../../lib/host/driver/vfio_driver.ts";
import type { IommuGroup, Obstacle } from "../../lib/host/device.ts";
import type { Host } from "../../lib/host/host.ts";
import type { PciFunction } from "../../lib/host/pci/function.ts";
import { emit } from "../../lib/handoff/mod.ts";
import {
  type ContainerAllocateResponse,
  type Device,
  HEALTHY,
  UNHEALTHY,
} from "./api.ts";

/** What is offered, and under which name. */
export interface Offer {
  /** What a container asks for: `"example.com/gpu"`. */
  readonly resource: string;
  /** The functions' addresses. */
  readonly addresses: readonly string[];
  /** Whether containers get iommufd's nodes rather than those of groups. */
  readonly iommufd: boolean;
}

/** A specification of CDI, as far as it is read here. */
interface Specification {
  readonly devices: readonly { readonly containerEdits: Edits }[];
  readonly containerEdits: Edits;
}

interface Edits {
  readonly deviceNodes: readonly {
    readonly path: string;
    readonly permissions: string;
  }[];
}

/** The devices of an offer. */
export class Devices {
  readonly #host: Host;
  readonly #offer: Offer;
  /** The addresses of each device, by the first of them, which is its ID. */
  readonly #units = new Map<string, readonly string[]>();

  /**
   * Finds them.
   *
   * @throws {VfioError} `DEVICE_NOT_FOUND` when there is no such function, or
   * `NO_IOMMU_GROUP`.
   */
  constructor(host: Host, offer: Offer) {
    this.#host = host;
    this.#offer = offer;
    const byGroup = Map.groupBy(
      offer.addresses.map((address) => host.function(address)),
      (fn) => groupOf(fn).id,
    );
    for (const functions of byGroup.values()) {
      const addresses = functions.map(({ address }) => address).sort();
      this.#units.set(addresses[0]!, addresses);
    }
  }

  /** Describes them for the kubelet, as they are now. */
  list(): Device[] {
    return [...this.#units.keys()].map((id) => {
      const node = this.#numaNode(id);
      return {
        ID: id,
        health: this.#problem(id) === undefined ? HEALTHY : UNHEALTHY,
        ...node !== undefined && { topology: { nodes: [{ ID: node }] } },
      };
    });
  }

  /**
   * Says how a container gets some of them.
   *
   * @throws {RangeError} When there is no such device.
   * @throws {Error} When one cannot be given to a container now.
   */
  allocate(ids: readonly string[]): ContainerAllocateResponse {
    const { resource, iommufd } = this.#offer;
    for (const id of ids) {
      if (!this.#units.has(id)) {
        throw new RangeError(`there is no device ${id}`);
      }
      const problem = this.#problem(id);
      if (problem !== undefined) throw new Error(problem);
    }
    const functions = ids.flatMap((id) => this.#functions(id));
    const { text } = emit("cdi", functions, { iommufd });
    const { devices, containerEdits }: Specification = JSON.parse(text);
    const nodes = [{ containerEdits }, ...devices]
      .flatMap(({ containerEdits }) => containerEdits.deviceNodes);
    // Functions of a group have one node.
    const byPath = new Map(nodes.map((node) => [node.path, node]));
    return {
      envs: {
        [variableOf(resource)]: functions.map(({ address }) => address).join(),
      },
      devices: [...byPath.values()].map(({ path, permissions }) => ({
        containerPath: path,
        hostPath: path,
        permissions,
      })),
    };
  }

  /** Why a device cannot be given to a container now. */
  #problem(id: string): string | undefined {
    try {
      const functions = this.#functions(id);
      const other = functions.find(({ driver }) => !isVfioDriver(driver ?? ""));
      if (other !== undefined) {
        return `${other.address} is bound to ${other.driver ?? "no driver"}`;
      }
      const viability = groupOf(functions[0]!).viability();
      if (viability.viable) return undefined;
      const [{ device, driver }] = viability.obstacles as [Obstacle];
      return `${device.name} of its IOMMU group is bound to ${driver}`;
    } catch (error) {
      // It is gone.
      if (error instanceof VfioError) return error.message;
      throw error;
    }
  }

  #numaNode(id: string): number | undefined {
    try {
      return this.#functions(id)[0]!.numaNode;
    } catch (error) {
      if (error instanceof VfioError) return undefined;
      throw error;
    }
  }

  #functions(id: string): PciFunction[] {
    return this.#units.get(id)!.map((address) => this.#host.function(address));
  }
}

function groupOf(fn: PciFunction): IommuGroup {
  const group = fn.iommuGroup;
  if (group !== undefined) return group;
  throw new VfioError("NO_IOMMU_GROUP", {
    device: fn.address,
    problem: "no IOMMU covers it, so no container can have it",
    hint: "passthru doctor says how to switch the IOMMU on",
  });
}

/**
 * The variable that names the devices in the container, by the rule that
 * KubeVirt has for external plugins: `PCI_RESOURCE_EXAMPLE_COM_GPU`.
 */
export function variableOf(resource: string): string {
  return `PCI_RESOURCE_${resource.toUpperCase().replace(/[/.]/g, "_")}`;
}
