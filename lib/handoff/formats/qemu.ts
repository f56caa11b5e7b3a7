/**
 * Devices as QEMU's arguments, in a line for a shell.
 *
 * @module
 */

import {
  assertVersion,
  type Emitted,
  type Format,
  type Handoff,
} from "../format.ts";
import { qemuArguments } from "../qemu.ts";

/** QEMU's arguments. */
export const QEMU: Format = {
  about: "arguments of QEMU",
  options: ["iommufd", "consumer"],
  write({ devices, options }: Handoff): Emitted {
    const { iommufd = false } = options;
    if (iommufd) assertVersion(options, "QEMU", "iommufd", "9.0");
    const words = qemuArguments(
      devices.map(({ device }) => ({ device })),
      { by: iommufd ? "iommufd" : "legacy" },
    );
    return { text: `${words.join(" ")}\n`, notes: [] };
  },
};
