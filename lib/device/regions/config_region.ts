import type { DeviceApi } from "../info/device_info.ts";
import { Region, type RegionDevice } from "./region.ts";

/**
 * A PCI function's config space. A write there can switch off the memory that
 * mapped registers are in, put the function to sleep, wake it, or reset it: after
 * each write the gate of its registers asks it anew.
 */
export class ConfigRegion extends Region {
  readonly #device: RegionDevice;

  /** Made by `VfioDevice.region`. */
  constructor(device: RegionDevice, index: number, api?: DeviceApi) {
    super(device, index, api);
    this.#device = device;
  }

  override write(offset: number, from: Uint8Array): void {
    this.#written(() => super.write(offset, from));
  }

  override write8(offset: number, value: number): void {
    this.#written(() => super.write8(offset, value));
  }

  override write16(offset: number, value: number): void {
    this.#written(() => super.write16(offset, value));
  }

  override write32(offset: number, value: number): void {
    this.#written(() => super.write32(offset, value));
  }

  override write64(offset: number, value: bigint): void {
    this.#written(() => super.write64(offset, value));
  }

  /** A write that fails can have changed something, too. */
  #written(write: () => void): void {
    try {
      write();
    } finally {
      this.#device.gate.refresh();
    }
  }
}
