import { VfioError } from "../../errors.ts";
import {
  VFIO_DEVICE_GFX_LINK_STATE_DOWN,
  VFIO_DEVICE_GFX_LINK_STATE_UP,
  vfio_region_gfx_edid,
} from "../../uapi/vfio/region.ts";
import type { Region } from "../regions/region.ts";

const FIELD = vfio_region_gfx_edid.offset;

/**
 * The monitor of a virtual display: what its EDID tells the guest, and whether
 * it is plugged in (`vfio_region_gfx_edid` in `linux/vfio.h`).
 */
export class Edid {
  readonly #device: string;
  readonly #region: Region;

  /** Made by `Display.edid`. */
  constructor(device: string, region: Region) {
    this.#device = device;
    this.#region = region;
  }

  /** The largest width in pixels; 0 for no limit. */
  get maxWidth(): number {
    return this.#region.read32(FIELD.max_xres);
  }

  /** The largest height in pixels; 0 for no limit. */
  get maxHeight(): number {
    return this.#region.read32(FIELD.max_yres);
  }

  /** The largest EDID, in bytes. */
  get maxSize(): number {
    return this.#region.read32(FIELD.edid_max_size);
  }

  /** Whether the monitor is plugged in. */
  get plugged(): boolean {
    const state = this.#region.read32(FIELD.link_state);
    return state === VFIO_DEVICE_GFX_LINK_STATE_UP;
  }

  /** Reads the EDID; empty where none was given. */
  read(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#region.read32(FIELD.edid_size));
    this.#region.read(this.#region.read32(FIELD.edid_offset), bytes);
    return bytes;
  }

  /**
   * Plugs in a monitor, in place of the one that is.
   *
   * @param edid Its EDID: blocks of 128 bytes.
   * @throws {RangeError} If it is empty, or larger than `maxSize`.
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  plug(edid: Uint8Array): void {
    const { maxSize } = this;
    if (edid.length === 0 || edid.length > maxSize) {
      throw new RangeError(
        `Cannot plug in a monitor with ${edid.length} bytes of EDID: expected ` +
          `1 to ${maxSize}`,
      );
    }
    // The header has the order: link down, blob, size, link up.
    this.unplug();
    this.#region.write(this.#region.read32(FIELD.edid_offset), edid);
    this.#region.write32(FIELD.edid_size, edid.length);
    this.#region.write32(FIELD.link_state, VFIO_DEVICE_GFX_LINK_STATE_UP);
    if (!this.plugged) throw this.#refused("did not take the monitor");
  }

  /**
   * Unplugs the monitor.
   *
   * @throws {VfioError} `DETACHED` or `KERNEL`.
   */
  unplug(): void {
    this.#region.write32(FIELD.link_state, VFIO_DEVICE_GFX_LINK_STATE_DOWN);
    if (this.plugged) throw this.#refused("did not let go of the monitor");
  }

  #refused(problem: string): VfioError {
    return new VfioError("KERNEL", {
      device: this.#device,
      problem: `its driver ${problem}`,
    });
  }
}
