import {
  VFIO_DEVICE_GET_GFX_DMABUF,
  VFIO_DEVICE_GFX_LINK_STATE_UP,
  vfio_device_gfx_plane_info,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_GFX_PLANE_TYPE_DMABUF,
  VFIO_GFX_PLANE_TYPE_PROBE,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_BAR2_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  vfio_region_gfx_edid,
  VFIO_REGION_INFO_CAP_TYPE,
  vfio_region_info_cap_type,
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_SUBTYPE_GFX_EDID,
  VFIO_REGION_TYPE_GFX,
} from "../../uapi/vfio/all.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import { PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_2 } from "../../uapi/pci/regs.ts";
import type { Process } from "../fs/file.ts";
import { inMemory, received } from "../process/argument.ts";
import { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";
import { registerViews } from "../vfio/register_views.ts";
import {
  FrameBuffer,
  PLANE_INFO_SIZE,
  putDisplayConfig,
  XRGB8888,
} from "./frame_buffer.ts";
import type { DeviceKind } from "./model.ts";
import { PlaneFile } from "./plane_file.ts";
import {
  READ_WRITE,
  SAMPLE_CONFIG_SIZE,
  SampleDriver,
  type SampleIrq,
  type SampleRegion,
} from "./sample.ts";

const PAGE = 4096;
const REGISTERS = PAGE;
const EDID = 2 * PAGE;
const MEMORY = 3 * PAGE;
const EDID_REGION = VFIO_PCI_NUM_REGIONS;
const BLOB_OFFSET = PAGE / 2;
const BLOB_SIZE = 0x400;
/** `DRM_PLANE_TYPE_PRIMARY` */
const PRIMARY = 1;

/** Where QEMU's display has its mode: registers of 16 bits (`VBE_DISPI_*`). */
const VBE = 0x500;
const VBE_COUNT = 11;
const VBE_ID = 0xb0c5;
const XRES = 1;
const YRES = 2;
const BPP = 3;
const ENABLE = 4;
const VIRTUAL_WIDTH = 6;
const X_OFFSET = 8;
const Y_OFFSET = 9;
const MEMORY_64K = 10;

/** A mode, and the number of the dma-buf that shows it. */
interface Shown {
  readonly mode: Mode;
  readonly id: number;
}

/** What is shown, in bytes and pixels. */
interface Mode {
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly offset: number;
  readonly size: number;
}

/** The virtual displays of the kernel's sample (`samples/vfio-mdev/mbochs.c`). */
export const MBOCHS: readonly DeviceKind[] = [
  kind("small", 4, 800, 600),
  kind("medium", 16, 1920, 1440),
  kind("large", 64, 0, 0),
];

function kind(
  type: string,
  megabytes: number,
  maxWidth: number,
  maxHeight: number,
): DeviceKind {
  return {
    name: `mbochs-${type}`,
    id: "1234:1111",
    class: 0x038000,
    conventional: true,
    resets: [],
    create: () => new Mbochs(megabytes * 2 ** 20, maxWidth, maxHeight),
  };
}

class Mbochs extends SampleDriver {
  protected readonly regions = VFIO_PCI_NUM_REGIONS + 1;
  protected override irqs = Infinity;
  readonly #memory: FrameBuffer;
  readonly #vbe = new Uint16Array(VBE_COUNT);
  readonly #edid = new DataView(new ArrayBuffer(vfio_region_gfx_edid.size));
  readonly #blob = new DataView(new ArrayBuffer(BLOB_SIZE));
  #shown: Shown[] = [];
  #lastId = 0;

  constructor(size: number, maxWidth: number, maxHeight: number) {
    super();
    this.#memory = new FrameBuffer(size);
    vfio_region_gfx_edid.encode(new Uint8Array(this.#edid.buffer), {
      edid_offset: BLOB_OFFSET,
      edid_max_size: BLOB_SIZE,
      max_xres: maxWidth,
      max_yres: maxHeight,
    });
    putDisplayConfig(this.config, 0x1234, 0x1111);
    this.reset();
  }

  reset(): void {
    this.#vbe.fill(0);
    this.#vbe[0] = VBE_ID;
    this.#vbe[MEMORY_64K] = this.#memory.size / 65536;
  }

  override closed(): void {
    this.#shown = [];
    this.#memory.clear();
  }

  mmap(length: number, offset: bigint): Pages {
    const { size } = this.#memory;
    if (offset !== BigInt(MEMORY) || length > size) refuse("EINVAL");
    const memory = new ArrayBuffer(length, { maxByteLength: length });
    const views = registerViews(this.#memory, 0, memory, () => true);
    return new Pages(new Uint8Array(memory), views);
  }

  protected region(index: number): SampleRegion {
    const at = (offset: number, size: number, flags = 0) => ({
      offset: BigInt(offset),
      size,
      flags: READ_WRITE | flags,
    });
    switch (index) {
      case VFIO_PCI_CONFIG_REGION_INDEX:
        return at(0, SAMPLE_CONFIG_SIZE);
      case VFIO_PCI_BAR0_REGION_INDEX:
        return at(MEMORY, this.#memory.size, VFIO_REGION_INFO_FLAG_MMAP);
      case VFIO_PCI_BAR2_REGION_INDEX:
        return at(REGISTERS, PAGE);
      case EDID_REGION:
        return {
          ...at(EDID, PAGE),
          capabilities: [{
            id: VFIO_REGION_INFO_CAP_TYPE,
            bytes: vfio_region_info_cap_type.alloc({
              type: VFIO_REGION_TYPE_GFX,
              subtype: VFIO_REGION_SUBTYPE_GFX_EDID,
            }),
          }],
        };
      default:
        if (index >= this.regions) refuse("EINVAL");
        return { size: 0, flags: 0, offset: 0n };
    }
  }

  protected irq(index: number): SampleIrq {
    if (index >= 5) refuse("EINVAL");
    return { count: 0 };
  }

  protected readAt(at: number, width: number): number | undefined {
    if (at < SAMPLE_CONFIG_SIZE) return this.readConfig(at, width);
    if (isInside(at, width, REGISTERS, PAGE)) {
      return this.#readRegister(at - REGISTERS, width);
    }
    if (isInside(at, width, EDID, PAGE)) {
      return this.#readEdid(at - EDID, width);
    }
    return isInside(at, width, MEMORY, this.#memory.size)
      ? Number(this.#memory.read(this.#place(at, width), width))
      : undefined;
  }

  protected writeAt(at: number, width: number, value: number): boolean {
    if (at < SAMPLE_CONFIG_SIZE) this.#writeConfig(at, value);
    else if (isInside(at, width, REGISTERS, PAGE)) {
      const index = (at - REGISTERS - VBE) / 2;
      if (width === 2 && index in this.#vbe) this.#vbe[index] = value;
    } else if (isInside(at, width, EDID, PAGE)) {
      this.#writeEdid(at - EDID, width, value);
    } else if (isInside(at, width, MEMORY, this.#memory.size)) {
      this.#memory.write(this.#place(at, width), width, BigInt(value));
    } else return false;
    return true;
  }

  protected override ownIoctl(
    { request }: Ioctl,
    argument: Uint8Array | bigint,
    process: Process,
  ): number | undefined {
    if (request === VFIO_DEVICE_QUERY_GFX_PLANE.request) {
      return this.#queryPlane(argument);
    }
    if (request === VFIO_DEVICE_GET_GFX_DMABUF.request) {
      const bytes = inMemory(argument);
      const id = new DataView(bytes.buffer, bytes.byteOffset)
        .getUint32(0, true);
      const shown = this.#shown.find((shown) => shown.id === id);
      const { offset } = shown?.mode ?? refuse("ENOENT");
      if (offset % PAGE !== 0) refuse("EINVAL");
      return process.install(new PlaneFile());
    }
    return undefined;
  }

  #queryPlane(argument: Uint8Array | bigint): number {
    const asked = received(
      vfio_device_gfx_plane_info,
      argument,
      PLANE_INFO_SIZE,
    );
    const { flags, argsz, drm_plane_type } = asked;
    if (flags === (VFIO_GFX_PLANE_TYPE_PROBE | VFIO_GFX_PLANE_TYPE_DMABUF)) {
      return 0;
    }
    if (flags !== VFIO_GFX_PLANE_TYPE_DMABUF) refuse("EINVAL");
    const mode = drm_plane_type === PRIMARY ? this.#mode : undefined;
    const shown = mode && this.#show(mode);
    const answer = vfio_device_gfx_plane_info.alloc({
      argsz,
      flags,
      drm_plane_type,
      ...shown && {
        drm_format: XRGB8888,
        width: shown.mode.width,
        height: shown.mode.height,
        stride: shown.mode.stride,
        size: shown.mode.size,
        dmabuf_id: shown.id,
      },
    });
    inMemory(argument).set(answer.subarray(0, PLANE_INFO_SIZE));
    return 0;
  }

  /** What is shown; `undefined` where that is nothing, or impossible. */
  get #mode(): Mode | undefined {
    const vbe = this.#vbe;
    if ((vbe[ENABLE]! & 1) === 0 || vbe[BPP] !== 32) return undefined;
    const [width, height] = [vbe[XRES]!, vbe[YRES]!];
    const stride = 4 * Math.max(width, vbe[VIRTUAL_WIDTH]!);
    const offset = 4 * vbe[X_OFFSET]! + stride * vbe[Y_OFFSET]!;
    const size = stride * height;
    if (width < 64 || height < 64) return undefined;
    if (offset + size > this.#memory.size) return undefined;
    return { width, height, stride, offset, size };
  }

  // As the sample does, the first query of a mode fails.
  #show(mode: Mode): Shown {
    const text = JSON.stringify(mode);
    const found = this.#shown
      .find((shown) => JSON.stringify(shown.mode) === text);
    if (found !== undefined) return found;
    this.#shown.push({ mode, id: ++this.#lastId });
    return refuse("ENOMEM");
  }

  #readRegister(at: number, width: number): number {
    if (at < BLOB_SIZE) {
      const { link_state, edid_size } = vfio_region_gfx_edid
        .decode(new Uint8Array(this.#edid.buffer));
      const isThere = link_state === VFIO_DEVICE_GFX_LINK_STATE_UP &&
        at < edid_size;
      return isThere ? readWord(this.#blob, at, width) : 0;
    }
    const index = (at - VBE) / 2;
    return width === 2 ? this.#vbe[index] ?? 0 : 0;
  }

  #readEdid(at: number, width: number): number {
    if (at >= BLOB_OFFSET) {
      const blobAt = at - BLOB_OFFSET;
      return blobAt + width <= BLOB_SIZE
        ? readWord(this.#blob, blobAt, width)
        : 0;
    }
    const isField = width === 4 && at + 4 <= this.#edid.byteLength;
    return isField ? this.#edid.getUint32(at, true) : 0;
  }

  #writeEdid(at: number, width: number, value: number): void {
    const { edid_size, link_state } = vfio_region_gfx_edid.offset;
    if (at >= BLOB_OFFSET) {
      const blobAt = at - BLOB_OFFSET;
      if (blobAt + width > BLOB_SIZE) return;
      for (let i = 0; i < width; i++) {
        this.#blob.setUint8(blobAt + i, value >>> 8 * i & 0xff);
      }
    } else if (width === 4 && (at === edid_size || at === link_state)) {
      this.#edid.setUint32(at, value, true);
    }
  }

  #writeConfig(at: number, value: number): void {
    const sizes: Record<number, number> = {
      [PCI_BASE_ADDRESS_0]: this.#memory.size,
      [PCI_BASE_ADDRESS_2]: PAGE,
    };
    this.writeConfig(at, value, sizes[at] ?? 0);
  }

  // As in the sample, whose read and write of the memory are two pages late.
  #place(at: number, width: number): number {
    return Math.min(at - REGISTERS, this.#memory.size - width);
  }
}

function isInside(
  at: number,
  width: number,
  start: number,
  size: number,
): boolean {
  return at >= start && at + width <= start + size;
}

function readWord(view: DataView, at: number, width: number): number {
  let value = 0;
  for (let i = width - 1; i >= 0; i--) {
    const byte = at + i < view.byteLength ? view.getUint8(at + i) : 0;
    value = value * 256 + byte;
  }
  return value;
}
