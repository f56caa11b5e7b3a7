import { toVfioError, VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import {
  VFIO_PCI_BAR5_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ROM_REGION_INDEX,
  VFIO_PCI_VGA_REGION_INDEX,
} from "../../uapi/vfio/pci.ts";
import type { DeviceInfo } from "../info/device_info.ts";
import {
  isSameRegionType,
  type RegionType,
  type RegionTypeName,
  regionTypeNamed,
} from "../info/region_type.ts";
import { ConfigRegion } from "./config_region.ts";
import { Region, type RegionDevice } from "./region.ts";

/** The regions of a device. Each is asked about once. */
export class Regions {
  readonly #device: RegionDevice;
  readonly #info: DeviceInfo;
  readonly #known = new Map<number, Region>();

  /**
   * @param device The device.
   * @param info What it says of itself.
   */
  constructor(device: RegionDevice, info: DeviceInfo) {
    this.#device = device;
    this.#info = info;
  }

  /** As `VfioDevice.region`. */
  get(index: number): Region {
    const { regions } = this.#info;
    if (Number.isInteger(index) && index >= 0 && index < regions) {
      return this.at(index);
    }
    throw new RangeError(
      `Cannot take region ${index}: the device has ${regions}`,
    );
  }

  /**
   * Returns a region that the device has named. A driver can have more than it
   * counts (`mdpy`, for the picture of its display).
   */
  at(index: number): Region {
    // Throws once the device is detached.
    void this.#device.fd;
    const known = this.#known.get(index);
    if (known !== undefined) return known;
    const { name } = this.#device;
    try {
      const { api, pci } = this.#info;
      const isConfig = pci && index === VFIO_PCI_CONFIG_REGION_INDEX;
      const region = new (isConfig ? ConfigRegion : Region)(
        this.#device,
        index,
        api,
      );
      this.#known.set(index, region);
      return region;
    } catch (error) {
      if (!hasErrno(error, "EINVAL")) {
        throw toVfioError(error, `read the info of region ${index}`, name);
      }
      throw new VfioError("NOT_SUPPORTED", {
        device: name,
        problem: `it has no region ${index}`,
        cause: error,
      });
    }
  }

  /** As `VfioDevice.bar`. */
  bar(index: number): Region {
    if (!(index >= 0 && index <= VFIO_PCI_BAR5_REGION_INDEX)) {
      throw new RangeError(`Cannot take BAR ${index}: expected 0 to 5`);
    }
    return this.#fixed(index, `BAR ${index}`);
  }

  /** The ROM of a PCI function. */
  get rom(): Region {
    return this.#fixed(VFIO_PCI_ROM_REGION_INDEX, "ROM");
  }

  /** The config space of a PCI function. */
  get config(): Region {
    return this.#fixed(VFIO_PCI_CONFIG_REGION_INDEX, "config space");
  }

  /** The VGA registers and memory of a PCI function. */
  get vga(): Region {
    return this.#fixed(VFIO_PCI_VGA_REGION_INDEX, "VGA region");
  }

  /** As `VfioDevice.regions`. */
  all(): Region[] {
    return Array.from({ length: this.#info.regions }, (_, index) => index)
      .flatMap((index) => {
        const region = this.#present(index);
        return region === undefined ? [] : [region];
      });
  }

  /** As `VfioDevice.findRegion`. */
  find(type: RegionTypeName | RegionType): Region | undefined {
    const wanted = typeof type === "string" ? regionTypeNamed(type) : type;
    return this.all().find((region) => isSameRegionType(region.type, wanted));
  }

  #present(index: number): Region | undefined {
    try {
      const region = this.at(index);
      return region.size === 0 ? undefined : region;
    } catch (error) {
      const isAbsent = error instanceof VfioError &&
        error.code === "NOT_SUPPORTED";
      if (isAbsent) return undefined;
      throw error;
    }
  }

  #fixed(index: number, what: string): Region {
    if (!this.#info.pci) {
      throw new VfioError("NOT_SUPPORTED", {
        device: this.#device.name,
        problem: `it is no PCI function, and has no ${what}`,
        hint: "take a region by its index: device.regions lists them",
      });
    }
    const region = this.#present(index);
    if (region !== undefined) return region;
    throw new VfioError("NOT_SUPPORTED", {
      device: this.#device.name,
      problem: `it has no ${what}`,
      hint: `it has ${this.all().map(({ name }) => name).join(", ")}`,
    });
  }
}
