import { toVfioError, VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { Fd } from "../../kernel/fd.ts";
import type { Mapping } from "../../kernel/kernel.ts";
import { F_SETFD, FD_CLOEXEC } from "../../uapi/linux/fcntl.ts";
import { MAP_SHARED, PROT_READ } from "../../uapi/linux/mman.ts";
import {
  VFIO_DEVICE_GET_GFX_DMABUF,
  vfio_device_gfx_plane_info,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_GFX_PLANE_TYPE_DMABUF,
  VFIO_GFX_PLANE_TYPE_PROBE,
  VFIO_GFX_PLANE_TYPE_REGION,
} from "../../uapi/vfio/gfx.ts";
import type { RegionDevice } from "../regions/region.ts";
import type { Regions } from "../regions/regions.ts";
import { Edid } from "./edid.ts";
import type { Plane, PlaneType } from "./plane.ts";

/** `enum drm_plane_type` of the kernel, which QEMU passes too. */
const DRM_PLANE_TYPES: Readonly<Record<PlaneType, number>> = {
  overlay: 0,
  primary: 1,
  cursor: 2,
};

/** A dma-buf with the pixels of a plane. */
export interface PlaneBuffer extends Disposable {
  /** Its descriptor, closed at exec, and at the device's detach. */
  readonly fd: number;
  /** Its length, in bytes. */
  readonly size: number;
}

/**
 * The display of a virtual GPU, as a viewer sees it.
 *
 * @example Take a picture
 * ```ts
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
 * const parent = "/sys/devices/virtual/mdpy/mdpy";
 * const host = simulate({ mediated: { [uuid]: { parent, type: "mdpy-vga" } } });
 * await using space = new AddressSpace({ host });
 * const path = `/sys/bus/mdev/devices/${uuid}`;
 * await using gpu = await VfioDevice.attach(path, space);
 * const display = await gpu.display();
 * const plane = display.plane();
 * if (plane !== undefined) {
 *   const pixels = display.capture(plane);
 *   console.log(plane.width, plane.height, plane.format, pixels.length);
 *   // 640 480 XR24 1228800
 * }
 * ```
 */
export class Display {
  readonly #device: RegionDevice;
  readonly #regions: Regions;
  /** Whether its pixels are in a region of the device, or in dma-bufs. */
  readonly kind: "dma-buf" | "region";

  /**
   * Made by `VfioDevice.display`.
   *
   * @throws {VfioError} `NOT_SUPPORTED`.
   */
  constructor(device: RegionDevice, regions: Regions) {
    this.#device = device;
    this.#regions = regions;
    if (this.#has(VFIO_GFX_PLANE_TYPE_REGION)) this.kind = "region";
    else if (this.#has(VFIO_GFX_PLANE_TYPE_DMABUF)) this.kind = "dma-buf";
    else {
      throw new VfioError("NOT_SUPPORTED", {
        device: device.name,
        problem: "its driver has no display to show",
      });
    }
  }

  /** Its monitor, if its driver lets it be changed. */
  get edid(): Edid | undefined {
    const region = this.#regions.find("edid");
    return region && new Edid(this.#device.name, region);
  }

  /**
   * Asks what is shown now.
   *
   * @param type Which plane.
   * @returns The plane; `undefined` while the guest shows nothing there.
   * @throws {VfioError} `NOT_SUPPORTED` if there is no such plane, `DETACHED`,
   * or `KERNEL`.
   */
  plane(type: PlaneType = "primary"): Plane | undefined {
    const bytes = vfio_device_gfx_plane_info.alloc({
      flags: this.kind === "region"
        ? VFIO_GFX_PLANE_TYPE_REGION
        : VFIO_GFX_PLANE_TYPE_DMABUF,
      drm_plane_type: DRM_PLANE_TYPES[type],
    });
    try {
      this.#query(bytes);
    } catch (error) {
      if (!hasErrno(error, "EINVAL")) {
        throw toVfioError(
          error,
          `ask for its ${type} plane`,
          this.#device.name,
        );
      }
      throw new VfioError("NOT_SUPPORTED", {
        device: this.#device.name,
        problem: `it has no ${type} plane`,
        cause: error,
      });
    }
    const info = vfio_device_gfx_plane_info.decode(bytes);
    if (info.width === 0 || info.height === 0) return undefined;
    return {
      type,
      format: fourcc(info.drm_format),
      modifier: info.drm_format_mod,
      width: info.width,
      height: info.height,
      stride: info.stride,
      size: info.size,
      x: info.x_pos,
      y: info.y_pos,
      hotX: info.x_hot,
      hotY: info.y_hot,
      source: this.kind === "region"
        ? { region: this.#regions.at(info.region_index) }
        : { dmaBuf: info.dmabuf_id },
    };
  }

  /**
   * Copies the pixels of a plane.
   *
   * @param plane The plane, as it was asked for last.
   * @returns Its rows: `stride * height` bytes.
   * @throws {VfioError} `NOT_SUPPORTED` if its dma-buf cannot be mapped,
   * `DETACHED`, or `KERNEL`.
   */
  capture(plane: Plane): Uint8Array<ArrayBuffer> {
    const { source, stride, height } = plane;
    const pixels = new Uint8Array(stride * height);
    if ("region" in source) {
      using registers = source.region.map();
      const words = new BigUint64Array(pixels.buffer, 0, pixels.length >> 3);
      for (let i = 0; i < words.length; i++) {
        words[i] = registers.read64(8 * i);
      }
      for (let i = 8 * words.length; i < pixels.length; i++) {
        pixels[i] = registers.read8(i);
      }
      return pixels;
    }
    using buffer = this.export(plane);
    const mapping = this.#map(buffer);
    try {
      pixels.set(new Uint8Array(mapping.buffer, 0, pixels.length));
    } finally {
      this.#unmap(mapping);
    }
    return pixels;
  }

  /**
   * Exports a plane as a dma-buf, for a viewer that shows it without a copy.
   *
   * @param plane The plane, as it was asked for last.
   * @throws {VfioError} `NOT_SUPPORTED` if its pixels are in a region,
   * `DETACHED`, or `KERNEL` if it is shown no longer.
   */
  export({ source, size }: Plane): PlaneBuffer {
    const { name, kernel, fd } = this.#device;
    if ("region" in source) {
      throw new VfioError("NOT_SUPPORTED", {
        device: name,
        problem: "its display is in a region, not in dma-bufs",
        hint: "map the plane's region",
      });
    }
    try {
      const id = new Uint8Array(new Uint32Array([source.dmaBuf]).buffer);
      const made = Fd.adopt(
        kernel,
        kernel.ioctl(fd, VFIO_DEVICE_GET_GFX_DMABUF, id),
      );
      try {
        // The samples of the kernel make it without.
        kernel.fcntl(made.number, F_SETFD, FD_CLOEXEC);
      } catch (error) {
        made[Symbol.dispose]();
        throw error;
      }
      return this.#held(made, size);
    } catch (error) {
      throw toVfioError(error, "export a plane", name);
    }
  }

  #map({ fd, size }: PlaneBuffer): Mapping {
    const { kernel, name } = this.#device;
    try {
      return kernel.mmap(size, PROT_READ, MAP_SHARED, fd, 0n);
    } catch (error) {
      if (!hasErrno(error, "EACCES", "EINVAL", "ENODEV")) {
        throw toVfioError(error, "map the dma-buf of a plane", name);
      }
      // A driver need not let it be mapped, and the kernel maps no part of a
      // page (dma_buf_mmap_internal() in drivers/dma-buf/dma-buf.c).
      throw new VfioError("NOT_SUPPORTED", {
        device: name,
        problem: "the dma-buf of a plane cannot be mapped",
        hint: "give it to a viewer that imports dma-bufs: display.export",
        cause: error,
      });
    }
  }

  #unmap(mapping: Mapping): void {
    const { kernel, name } = this.#device;
    try {
      kernel.munmap(mapping);
    } catch (error) {
      throw toVfioError(error, "unmap the dma-buf of a plane", name);
    }
  }

  #held(made: Fd, size: number): PlaneBuffer {
    const released = this.#device.hold(
      "the dma-buf of a plane",
      () => made[Symbol.dispose](),
    );
    return {
      get fd() {
        return made.number;
      },
      size,
      [Symbol.dispose]() {
        made[Symbol.dispose]();
        released();
      },
    };
  }

  #has(flag: number): boolean {
    const flags = VFIO_GFX_PLANE_TYPE_PROBE | flag;
    try {
      this.#query(vfio_device_gfx_plane_info.alloc({ flags }));
      return true;
    } catch (error) {
      if (hasErrno(error, "EINVAL", "ENOTTY")) return false;
      throw toVfioError(error, "ask for its display", this.#device.name);
    }
  }

  #query(bytes: Uint8Array): void {
    const { kernel, fd } = this.#device;
    kernel.ioctl(fd, VFIO_DEVICE_QUERY_GFX_PLANE, bytes);
  }
}

function fourcc(format: number): string {
  return String.fromCharCode(
    ...[0, 8, 16, 24].map((shift) => format >>> shift & 0xff),
  );
}
