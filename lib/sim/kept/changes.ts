/**
 * Reads what processes have changed of devices and of the kernel.
 *
 * @module
 */

import type { BusDevice } from "../driver/bus_device.ts";
import type { Machine } from "../machine/machine.ts";
import type { PciFunction } from "../pci/function.ts";
import { VirtualFunction } from "../pci/sriov.ts";
import type { Kept, VfioNumbers, VirtualNetwork } from "./kept.ts";

/**
 * Reads what processes have changed of devices and of the kernel, but for what a
 * topology says of a device itself.
 *
 * @param machine The machine.
 * @param functions Its PCI functions.
 * @param devices Its devices on other buses.
 */
export function changesOf(
  machine: Machine,
  functions: readonly PciFunction[],
  devices: readonly BusDevice[],
): Pick<Kept, "attributes" | "vfio" | "virtualNetworks"> {
  return {
    vfio: vfioNumbers(machine),
    virtualNetworks: virtualNetworks(functions),
    attributes: {
      ...attributesOf(functions),
      ...sleepOf(devices),
      ...poolsOf(machine),
      ...machine.features.enableSriov && {
        "/sys/module/vfio_pci/parameters/enable_sriov": "Y",
      },
    },
  };
}

/** The huge pages of each NUMA node, where there are several. */
function poolsOf({ hugePages }: Machine): Record<string, string> {
  if (hugePages.nodes === 1) return {};
  return Object.fromEntries(
    [...hugePages.shifts].flatMap((shift) =>
      Array.from({ length: hugePages.nodes }, (_, node) => [
        `/sys/devices/system/node/node${node}/hugepages/` +
        `hugepages-${2 ** (shift - 10)}kB/nr_hugepages`,
        String(hugePages.total(shift, node)),
      ])
    ),
  );
}

/** The attributes of functions that are not at their defaults. */
function attributesOf(
  functions: readonly PciFunction[],
): Record<string, string> {
  return Object.fromEntries(
    functions.flatMap((fn) => {
      const { path, resets, supportedResets, d3cold } = fn;
      const text = resets.join(" ");
      return [
        ...text === supportedResets.join(" ")
          ? []
          : [[`${path}/reset_method`, `${text}\n`]],
        ...d3cold === !(fn instanceof VirtualFunction)
          ? []
          : [[`${path}/d3cold_allowed`, d3cold ? "1" : "0"]],
      ];
    }),
  );
}

/** How devices of other buses sleep, where that is not the default. */
function sleepOf(devices: readonly BusDevice[]): Record<string, string> {
  return Object.fromEntries(
    devices.filter(({ power }) => power !== "auto")
      .map(({ path, power }) => [`${path}/power/control`, power]),
  );
}

function vfioNumbers(machine: Machine): Record<string, VfioNumbers> {
  return Object.fromEntries(
    [...machine.vfioDevices.values()].map((device) => {
      const { id, kind, node } = device.group!;
      return [device.name, {
        number: device.vfio!.number,
        minor: node!.minor,
        ...(kind !== "iommu" && { group: Number(id) }),
      }];
    }),
  );
}

function virtualNetworks(
  functions: readonly PciFunction[],
): Record<string, VirtualNetwork> {
  return Object.fromEntries(
    functions.flatMap((fn) => {
      if (!(fn instanceof VirtualFunction)) return [];
      const { address, vlan, qos } = fn.settings;
      const mac = address.toHex();
      const isSet = vlan + qos > 0 || !/^0*$/.test(mac);
      return isSet ? [[fn.name, { mac, vlan, qos }]] : [];
    }),
  );
}
