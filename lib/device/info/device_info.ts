import { readInfo } from "../../../backends/info.ts";
import {
  VFIO_DEVICE_FLAGS_AMBA,
  VFIO_DEVICE_FLAGS_AP,
  VFIO_DEVICE_FLAGS_CCW,
  VFIO_DEVICE_FLAGS_CDX,
  VFIO_DEVICE_FLAGS_FSL_MC,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_PLATFORM,
  VFIO_DEVICE_FLAGS_RESET,
  VFIO_DEVICE_GET_INFO,
  vfio_device_info,
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  vfio_device_info_cap_pci_atomic_comp,
  VFIO_PCI_ATOMIC_COMP128,
  VFIO_PCI_ATOMIC_COMP32,
  VFIO_PCI_ATOMIC_COMP64,
} from "../../uapi/vfio/device.ts";
import { type DeviceCapability, readCapabilities } from "./capabilities.ts";

/**
 * What a device is used as, whatever made it: a mediated device can be `"pci"`.
 * It decides what the indexes of regions and of interrupts mean.
 */
export type DeviceApi =
  | "amba"
  | "ap"
  | "ccw"
  | "cdx"
  | "fsl-mc"
  | "pci"
  | "platform";

/** What a device says of itself (`VFIO_DEVICE_GET_INFO`). */
export interface DeviceInfo {
  /** What it is used as; `undefined` for a kind that this library is older than. */
  readonly api: DeviceApi | undefined;
  /** Whether it is a PCI function. */
  readonly pci: boolean;
  /** Whether it can be reset: {@linkcode VfioDevice.reset}. */
  readonly resettable: boolean;
  /** How many regions it has; their indexes count from 0. */
  readonly regions: number;
  /** How many kinds of interrupt it has; their indexes count from 0. */
  readonly irqs: number;
  /**
   * The widths, in bits, of the PCIe AtomicOps that the root complex completes
   * for it: of 32, 64 and 128. Older kernels do not say, as Linux 6.1.
   */
  readonly atomics: readonly number[];
  /**
   * All capabilities, in their order. Those of an s390 PCI function
   * (`VFIO_DEVICE_INFO_CAP_ZPCI_*`) are big-endian, and are not decoded.
   */
  readonly capabilities: readonly DeviceCapability[];
}

const APIS: ReadonlyArray<readonly [flag: number, api: DeviceApi]> = [
  [VFIO_DEVICE_FLAGS_PCI, "pci"],
  [VFIO_DEVICE_FLAGS_PLATFORM, "platform"],
  [VFIO_DEVICE_FLAGS_AMBA, "amba"],
  [VFIO_DEVICE_FLAGS_CCW, "ccw"],
  [VFIO_DEVICE_FLAGS_AP, "ap"],
  [VFIO_DEVICE_FLAGS_FSL_MC, "fsl-mc"],
  [VFIO_DEVICE_FLAGS_CDX, "cdx"],
];

const ATOMICS: ReadonlyArray<readonly [flag: number, bits: number]> = [
  [VFIO_PCI_ATOMIC_COMP32, 32],
  [VFIO_PCI_ATOMIC_COMP64, 64],
  [VFIO_PCI_ATOMIC_COMP128, 128],
];

/**
 * Reads a device's info and its capabilities.
 *
 * @param fd Its descriptor.
 * @throws {KernelError} What the kernel answers.
 */
export function readDeviceInfo(
  fd: {
    ioctl(operation: typeof VFIO_DEVICE_GET_INFO, bytes: Uint8Array): void;
  },
): DeviceInfo {
  const bytes = readInfo(
    (argument) => fd.ioctl(VFIO_DEVICE_GET_INFO, argument),
    vfio_device_info,
  );
  const { flags, num_regions, num_irqs, cap_offset } = vfio_device_info
    .decode(bytes);
  const capabilities = readCapabilities(bytes, cap_offset);
  return {
    api: APIS.find(([flag]) => (flags & flag) !== 0)?.[1],
    pci: (flags & VFIO_DEVICE_FLAGS_PCI) !== 0,
    resettable: (flags & VFIO_DEVICE_FLAGS_RESET) !== 0,
    regions: num_regions,
    irqs: num_irqs,
    atomics: atomicsOf(capabilities),
    capabilities,
  };
}

function atomicsOf(capabilities: readonly DeviceCapability[]): number[] {
  const found = capabilities
    .find(({ id }) => id === VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP);
  if (found === undefined) return [];
  const { flags } = vfio_device_info_cap_pci_atomic_comp.decode(found.bytes);
  return ATOMICS.filter(([flag]) => (flags & flag) !== 0).map(([, bits]) =>
    bits
  );
}
