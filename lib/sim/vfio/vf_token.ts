/**
 * Simulates the secret that the users of virtual functions share with the user
 * of their physical function (`vfio_pci_core_match_token_uuid()` in
 * `drivers/vfio/pci/vfio_pci_core.c`).
 *
 * @module
 */

import type { Device } from "../driver/bus.ts";
import { PciFunction } from "../pci/function.ts";
import { PhysicalFunction, VirtualFunction } from "../pci/sriov.ts";
import { refuse } from "../process/refusal.ts";

/** Bytes of a token. */
export const TOKEN_BYTES = 16;

const HEX = "[\\da-fA-F]";
const OPTION = new RegExp(
  `^vf_token=(${HEX}{8}(?:-${HEX}{4}){3}-${HEX}{12})$`,
);

/**
 * Refuses whoever opens a device without the token that it demands, or with one
 * that it does not take. A token that a physical function is opened with becomes
 * the one of its virtual functions, unless one of them is in use.
 *
 * @param device The device.
 * @param token What it is opened with.
 */
export function matchToken(
  device: Device,
  token: Uint8Array | undefined,
): void {
  if (device instanceof VirtualFunction) {
    const { vfio } = device.physical;
    if (vfio !== undefined) return assertSame(vfio.vfToken, token);
    if (token !== undefined) refuse("EINVAL");
  } else if (device instanceof PhysicalFunction) {
    const used = [...device.functions.values()]
      .some(({ vfio }) => vfio !== undefined && vfio.users > 0);
    if (used) assertSame(device.vfio!.vfToken, token);
    else if (token !== undefined) device.vfio!.vfToken = token;
  } else if (token !== undefined) refuse("EINVAL");
}

function assertSame(
  expected: Uint8Array | undefined,
  token: Uint8Array | undefined,
): void {
  const same = expected !== undefined && token !== undefined &&
    expected.every((byte, i) => byte === token[i]);
  if (!same) refuse("EACCES");
}

/**
 * Returns the token among the options after a device's name, as a group's user
 * gives them (`vfio_pci_core_match()`).
 *
 * @param device The device.
 * @param options What follows its name, divided at the spaces.
 */
export function tokenOption(
  device: Device,
  options: readonly string[],
): Uint8Array | undefined {
  // The drivers of other devices compare the whole text with their name.
  if (!(device instanceof PciFunction)) {
    return options.length > 0 ? refuse("ENODEV") : undefined;
  }
  const [option, ...others] = options.filter((option) => option !== "");
  if (option === undefined) return undefined;
  const uuid = OPTION.exec(option)?.[1];
  if (uuid === undefined || others.length > 0) return refuse("EINVAL");
  return Uint8Array.fromHex(uuid.replaceAll("-", ""));
}
