import { O_ACCMODE, O_CLOEXEC } from "../../../uapi/linux/fcntl.ts";
import {
  vfio_device_feature_dma_buf,
  vfio_region_dma_range,
} from "../../../uapi/vfio/feature.ts";
import { VFIO_PCI_ROM_REGION_INDEX } from "../../../uapi/vfio/pci.ts";
import type { OpenFile, Process } from "../../fs/file.ts";
import type { Bar } from "../../models/model.ts";
import type { PciCore } from "../../pci/core.ts";
import { Pages, type PagesSlice } from "../../process/memory.ts";
import { refuse } from "../../process/refusal.ts";
import { registerViews } from "../register_views.ts";

const PAGE = 4096n;

/** What a dma-buf is of. */
interface Exporter {
  /** The BAR. */
  readonly bar: Bar;
  /** The function, which can revoke it. */
  readonly core: PciCore;
}

/**
 * A dma-buf of a BAR. While its function does not answer, nobody reaches it;
 * who has mapped it before has to map it again.
 */
class DmaBufFile implements OpenFile {
  readonly linkText = "/dmabuf:";
  readonly #exporter: Exporter;
  readonly #ranges: readonly { offset: bigint; length: bigint }[];
  #pages: Pages | undefined;
  readonly #forget: () => void;

  constructor(
    exporter: Exporter,
    ranges: readonly { offset: bigint; length: bigint }[],
  ) {
    this.#exporter = exporter;
    this.#ranges = ranges;
    this.#forget = exporter.core.onRevoke(() => {
      if (this.#pages !== undefined) this.#pages.revoked = true;
      this.#pages = undefined;
    });
  }

  dmaBuf(start: number, length: number): PagesSlice {
    const { bar, core } = this.#exporter;
    const [range, ...others] = this.#ranges;
    if (others.length > 0) refuse("EOPNOTSUPP");
    if (!core.reachable) refuse("ENODEV");
    const size = Number(range!.length);
    if (start + length > size) refuse("EINVAL");
    this.#pages ??= pagesOf(bar, Number(range!.offset), size, core);
    return { pages: this.#pages, start, length };
  }

  close(): void {
    this.#forget();
  }
}

function pagesOf(
  bar: Bar,
  offset: number,
  size: number,
  core: PciCore,
): Pages {
  const memory = new ArrayBuffer(size, { maxByteLength: size });
  const views = registerViews(bar, offset, memory, () => core.reachable);
  return new Pages(new Uint8Array(memory), views);
}

/**
 * Makes a dma-buf of parts of a BAR (`vfio_pci_core_feature_dma_buf()` in
 * `drivers/vfio/pci/vfio_pci_dmabuf.c`).
 *
 * @param core The device.
 * @param data `struct vfio_device_feature_dma_buf` and its ranges.
 * @param process Gets it.
 * @returns Its descriptor.
 */
export function exportDmaBuf(
  core: PciCore,
  data: Uint8Array,
  process: Process,
): number {
  const layout = vfio_device_feature_dma_buf;
  const { region_index, flags, nr_ranges, open_flags } = layout.decode(data);
  if (nr_ranges === 0 || flags !== 0) refuse("EINVAL");
  const bar = region_index < VFIO_PCI_ROM_REGION_INDEX
    ? core.model.bars[region_index] ?? refuse("ENODEV")
    : refuse("ENODEV");
  const at = layout.offset.dma_ranges;
  if (at + nr_ranges * vfio_region_dma_range.size > data.length) {
    refuse("EFAULT");
  }
  const ranges = vfio_region_dma_range.decodeArray(data, nr_ranges, at);
  const fits = !bar.io &&
    ranges.every(({ offset, length }) =>
      length > 0n && (offset | length) % PAGE === 0n &&
      offset + length <= BigInt(bar.size)
    );
  if (!fits) refuse("EINVAL");
  return process.install(
    new DmaBufFile({ bar, core }, ranges),
    open_flags & (O_ACCMODE | O_CLOEXEC),
  );
}
