import { hexDigits } from "../../../hex.ts";

/** Writes a bus, device and function of 16 bits as `lspci` does: `01:00.0`. */
export function formatDevice(requester: number): string {
  const bus = hexDigits(requester >> 8, 2);
  return `${bus}:${hexDigits(requester >> 3 & 0x1f, 2)}.${requester & 7}`;
}
