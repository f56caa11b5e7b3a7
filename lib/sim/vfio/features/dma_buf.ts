import { O_ACCMODE, O_CLOEXEC } from "../../../uapi/linux/fcntl.ts";
import {
  vfio_device_feature_dma_buf,
  vfio_region_dma_range,
} from "../../../uapi/vfio/feature.ts";
import { VFIO_PCI_ROM_REGION_INDEX } from "../../../uapi/vfio/pci.ts";
import type { OpenFile, Process } from "../../fs/file.ts";
import type { DeviceModel } from "../../models/model.ts";
import { refuse } from "../../process/refusal.ts";

const PAGE = 4096n;

/** A dma-buf. Nothing can be done with it but keep it open. */
class DmaBufFile implements OpenFile {
  readonly linkText = "/dmabuf:";
  close(): void {}
}

/**
 * Makes a dma-buf of parts of a BAR (`vfio_pci_core_feature_dma_buf()` in
 * `drivers/vfio/pci/vfio_pci_dmabuf.c`).
 *
 * @param model The device.
 * @param data `struct vfio_device_feature_dma_buf` and its ranges.
 * @param process Gets it.
 * @returns Its descriptor.
 */
export function exportDmaBuf(
  { bars }: DeviceModel,
  data: Uint8Array,
  process: Process,
): number {
  const layout = vfio_device_feature_dma_buf;
  const { region_index, flags, nr_ranges, open_flags } = layout.decode(data);
  if (nr_ranges === 0 || flags !== 0) refuse("EINVAL");
  const bar = region_index < VFIO_PCI_ROM_REGION_INDEX
    ? bars[region_index] ?? refuse("ENODEV")
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
    new DmaBufFile(),
    open_flags & (O_ACCMODE | O_CLOEXEC),
  );
}
