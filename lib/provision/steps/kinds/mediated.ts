/**
 * Steps that create mediated devices.
 *
 * @module
 */

import { openers, openersText } from "../../../host/openers.ts";
import { nodePaths } from "../../../host/iommu/nodes.ts";
import { exists, linkName, realPath } from "../../../host/sysfs.ts";
import { VfioError } from "../../../errors.ts";
import type { MediatedStep } from "../step.ts";
import { write } from "./attribute.ts";
import { changed, late, type StepKind, type Work } from "../kind.ts";

const DEVICES = "/sys/bus/mdev/devices";

/** Steps that create a mediated device where there was none. */
export const mediatedKind: StepKind<MediatedStep, null> = {
  holds({ host: { kernel } }, { device, type }) {
    const now = linkName(kernel, `${DEVICES}/${device}/mdev_type`);
    return Promise.resolve(now === type);
  },

  capture({ host: { kernel } }, { device }) {
    if (!exists(kernel, `${DEVICES}/${device}`)) return Promise.resolve(null);
    throw new VfioError("NOT_SUPPORTED", {
      device,
      problem: "there is a mediated device of another type with this UUID",
      hint: `remove it: echo 1 > ${DEVICES}/${device}/remove`,
    });
  },

  async make(work, { device, parent, type }) {
    const { host: { kernel }, deadline } = work;
    const create = `${parent}/mdev_supported_types/${type}/create`;
    await write(work, create, device, device);
    await deadline.until(
      () => exists(kernel, `${DEVICES}/${device}`) ? true : undefined,
      () => late(device, "it did not appear", deadline),
    );
  },

  async undo(work, { device, type }) {
    const { host: { kernel }, deadline } = work;
    const path = `${DEVICES}/${device}`;
    const now = linkName(kernel, `${path}/mdev_type`);
    if (now === undefined) return;
    if (now !== type) throw changed(device, `its type became ${now}`);
    await released(work, device);
    await write(work, `${path}/remove`, "1", device);
    await deadline.until(
      () => exists(kernel, path) ? undefined : true,
      () => late(device, "it was not removed", deadline),
    );
  },
};

/**
 * Waits until no process has it open. Removing it would wait without a time
 * limit.
 */
async function released({ host, deadline }: Work, uuid: string): Promise<void> {
  const { kernel } = host;
  const path = realPath(kernel, `${DEVICES}/${uuid}`);
  const device = path === undefined ? undefined : host.deviceAt(path);
  const nodes = device === undefined ? [] : nodePaths([device]);
  const holders = () => openers(kernel, nodes);
  await deadline.until(
    () => holders().length === 0 ? true : undefined,
    () =>
      new VfioError("DEVICE_BUSY", {
        device: uuid,
        problem: `${nodes.join(" or ")} is open in ${openersText(holders())}`,
        hint: "end that process, or let it close the device",
      }),
  );
}
