import {
  VFIO_DEVICE_FEATURE_DMA_BUF,
  vfio_device_feature_dma_buf,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  vfio_device_low_power_entry_with_wakeup,
} from "../../../uapi/vfio/feature.ts";
import type { Device } from "../../driver/bus.ts";
import { PhysicalFunction } from "../../pci/sriov.ts";
import { EventFile } from "../../process/event_file.ts";
import { refuse } from "../../process/refusal.ts";
import { TOKEN_BYTES } from "../vf_token.ts";
import { exportDmaBuf } from "./dma_buf.ts";
import { type FeatureRequest, GET, isAsked, SET } from "./feature_request.ts";

/**
 * Answers VFIO_DEVICE_FEATURE for vfio-pci (`vfio_pci_core_ioctl_feature()` in
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @param device The function.
 * @param feature The feature's number.
 * @param request What is asked of it.
 * @returns The answer; `undefined` for an unknown feature.
 */
export function pciFeature(
  device: Device,
  feature: number,
  request: FeatureRequest,
): number | undefined {
  const { core } = device;
  const { lowPower } = core;
  const { data, process } = request;
  switch (feature) {
    case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      if (!(device instanceof PhysicalFunction)) return undefined;
      if (isAsked(request, SET, TOKEN_BYTES)) {
        device.vfio!.vfToken = data.slice(0, TOKEN_BYTES);
      }
      return 0;
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
      if (isAsked(request, SET)) {
        lowPower.enter();
        core.revoke();
      }
      return 0;
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: {
      const layout = vfio_device_low_power_entry_with_wakeup;
      if (!isAsked(request, SET, layout.size)) return 0;
      const { wakeup_eventfd } = layout.decode(data);
      if (wakeup_eventfd < 0) refuse("EINVAL");
      const event = process.file(wakeup_eventfd);
      if (!(event instanceof EventFile)) return refuse("EINVAL");
      lowPower.enter(event);
      core.revoke();
      return 0;
    }
    case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
      if (isAsked(request, SET)) lowPower.exit();
      return 0;
    case VFIO_DEVICE_FEATURE_DMA_BUF:
      if (!core.since(6, 19)) return undefined;
      return isAsked(request, GET, vfio_device_feature_dma_buf.size)
        ? exportDmaBuf(core, data, process)
        : 0;
    default:
      return undefined;
  }
}
