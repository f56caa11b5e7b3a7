import {
  PCI_BASE_ADDRESS_0,
  PCI_CAPABILITY_LIST,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from "../../uapi/pci/regs.ts";
import {
  vfio_device_gfx_plane_info,
  VFIO_DEVICE_QUERY_GFX_PLANE,
  VFIO_GFX_PLANE_TYPE_PROBE,
  VFIO_GFX_PLANE_TYPE_REGION,
  VFIO_PCI_BAR0_REGION_INDEX,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_MMAP,
} from "../../uapi/vfio/all.ts";
import type { Ioctl } from "../../uapi/ioctl.ts";
import { inMemory, received } from "../process/argument.ts";
import { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";
import { registerViews } from "../vfio/register_views.ts";
import type { DeviceKind } from "./model.ts";
import {
  FrameBuffer,
  PLANE_INFO_SIZE,
  putDisplayConfig,
  XRGB8888,
} from "./frame_buffer.ts";
import {
  READ_WRITE,
  SAMPLE_CONFIG_SIZE,
  SampleDriver,
  type SampleIrq,
  type SampleRegion,
} from "./sample.ts";

/** Where the vendor's capability has the mode: format, width, height. */
const MODE = 0x40;
const MEMORY_OFFSET = 4096;
/** The region of the display, which is not among those that it counts. */
const DISPLAY_REGION = 16;

/** The virtual displays of the kernel's sample (`samples/vfio-mdev/mdpy.c`). */
export const MDPY: readonly DeviceKind[] = [
  kind("vga", 640, 480),
  kind("xga", 1024, 768),
  kind("hd", 1920, 1080),
];

function kind(type: string, width: number, height: number): DeviceKind {
  return {
    name: `mdpy-${type}`,
    id: "1b36:000f",
    class: 0x038000,
    conventional: true,
    resets: [],
    create: () => new Mdpy(width, height),
  };
}

class Mdpy extends SampleDriver {
  protected readonly regions = VFIO_PCI_NUM_REGIONS;
  readonly #width: number;
  readonly #height: number;
  readonly #memory: FrameBuffer;

  constructor(width: number, height: number) {
    super();
    this.#width = width;
    this.#height = height;
    this.#memory = new FrameBuffer(
      2 ** Math.ceil(Math.log2(this.#stride * height)),
    );
    putDisplayConfig(this.config, 0x1b36, 0x000f);
    this.config.setUint16(PCI_STATUS, PCI_STATUS_CAP_LIST, true);
    this.config.setUint8(PCI_CAPABILITY_LIST, MODE);
    this.config.setUint32(MODE, 0x0010_0009, true);
    for (const [i, word] of [XRGB8888, width, height].entries()) {
      this.config.setUint32(MODE + 4 + 4 * i, word, true);
    }
    this.reset();
  }

  get #stride(): number {
    return this.#width * 4;
  }

  /** Paints a gradient, from black at the top to white. */
  reset(): void {
    for (let y = 0; y < this.#height; y++) {
      const grey = Math.floor(y * 255 / this.#height);
      const start = y * this.#stride;
      this.#memory.bytes.fill(grey, start, start + this.#stride);
    }
  }

  mmap(length: number, offset: bigint): Pages {
    const { size } = this.#memory;
    if (offset !== BigInt(MEMORY_OFFSET) || length > size) refuse("EINVAL");
    const memory = new ArrayBuffer(length, { maxByteLength: length });
    const views = registerViews(this.#memory, 0, memory, () => true);
    return new Pages(new Uint8Array(memory), views);
  }

  protected region(index: number): SampleRegion {
    switch (index) {
      case VFIO_PCI_CONFIG_REGION_INDEX:
        return { size: SAMPLE_CONFIG_SIZE, flags: READ_WRITE, offset: 0n };
      case VFIO_PCI_BAR0_REGION_INDEX:
      case DISPLAY_REGION:
        return {
          size: this.#memory.size,
          flags: READ_WRITE | VFIO_REGION_INFO_FLAG_MMAP,
          offset: BigInt(MEMORY_OFFSET),
        };
      default:
        if (index >= VFIO_PCI_NUM_REGIONS) refuse("EINVAL");
        return { size: 0, flags: 0, offset: 0n };
    }
  }

  protected irq(): SampleIrq {
    return { count: 0 };
  }

  protected readAt(at: number, width: number): number | undefined {
    if (at < SAMPLE_CONFIG_SIZE) return this.readConfig(at, width);
    if (!this.#inMemory(at, width)) return undefined;
    // As the sample does: it forgets the position.
    return Number(this.#memory.read(0, width));
  }

  protected writeAt(at: number, width: number, value: number): boolean {
    if (at < SAMPLE_CONFIG_SIZE) {
      const isBar = at === PCI_BASE_ADDRESS_0;
      this.writeConfig(at, value, isBar ? this.#memory.size : 0);
      return true;
    }
    if (!this.#inMemory(at, width)) return false;
    this.#memory.write(0, width, BigInt(value));
    return true;
  }

  protected override ownIoctl(
    { request }: Ioctl,
    argument: Uint8Array | bigint,
  ): number | undefined {
    if (request !== VFIO_DEVICE_QUERY_GFX_PLANE.request) return undefined;
    const asked = received(
      vfio_device_gfx_plane_info,
      argument,
      PLANE_INFO_SIZE,
    );
    const { flags, argsz, drm_plane_type } = asked;
    if (flags === (VFIO_GFX_PLANE_TYPE_PROBE | VFIO_GFX_PLANE_TYPE_REGION)) {
      return 0;
    }
    if (flags !== VFIO_GFX_PLANE_TYPE_REGION) refuse("EINVAL");
    const answer = vfio_device_gfx_plane_info.alloc({
      argsz,
      flags,
      drm_plane_type,
      drm_format: XRGB8888,
      width: this.#width,
      height: this.#height,
      stride: this.#stride,
      size: this.#memory.size,
      region_index: DISPLAY_REGION,
    });
    inMemory(argument).set(answer.subarray(0, PLANE_INFO_SIZE));
    return 0;
  }

  #inMemory(at: number, width: number): boolean {
    return at >= MEMORY_OFFSET &&
      at + width <= MEMORY_OFFSET + this.#memory.size;
  }
}
