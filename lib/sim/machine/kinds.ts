import { shortJson } from "../../printable.ts";
import { edu } from "../models/edu.ts";
import { MBOCHS } from "../models/mbochs.ts";
import { MDPY } from "../models/mdpy.ts";
import type { DeviceKind } from "../models/model.ts";
import { MTTY } from "../models/mtty.ts";
import { e1000e } from "../models/e1000e/e1000e.ts";
import { nvme } from "../models/nvme/nvme.ts";
import { plain } from "../models/plain.ts";
import { scratchpad } from "../models/scratchpad/scratchpad.ts";

/** Those of mediated devices have the names of their types. */
const SAMPLES: readonly DeviceKind[] = [...MTTY, ...MDPY, ...MBOCHS];
const KINDS: readonly DeviceKind[] = [
  edu,
  e1000e(),
  nvme(),
  plain,
  scratchpad,
  ...SAMPLES,
];

/**
 * Returns the behaviour of a device model.
 *
 * @param model A model, or the name of a known one.
 * @throws {TypeError} When the name is unknown.
 */
export function kindNamed(model: string | DeviceKind): DeviceKind {
  if (typeof model !== "string") return model;
  const found = KINDS.find(({ name }) => name === model);
  if (found !== undefined) return found;
  throw new TypeError(
    `Cannot find device model ${shortJson(model)}: expected ` +
      `${KINDS.map(({ name }) => `"${name}"`).join(", ")} or a model`,
  );
}

/** Returns the known model for a vendor and device id, if there is one. */
export function kindWithId(id: string): DeviceKind | undefined {
  return id === edu.id ? edu : undefined;
}

/**
 * Returns the behaviour of a type of mediated devices: that of the kernel's
 * sample with its name, or none.
 */
export function kindOfType(type: string): DeviceKind {
  return SAMPLES.find(({ name }) => name === type) ?? plain;
}
