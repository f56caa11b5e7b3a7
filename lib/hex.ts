/**
 * Numbers in hexadecimal.
 *
 * @module
 */

/**
 * A number as people read addresses and masks: `0x1000`.
 *
 * @param value The number.
 * @param digits How many digits at least, with leading zeros.
 */
export function hex(value: number | bigint, digits = 1): string {
  return `0x${hexDigits(value, digits)}`;
}

/**
 * A number as sysfs and `lspci` write ids: `8086`.
 *
 * @param value The number.
 * @param digits How many digits at least, with leading zeros.
 */
export function hexDigits(value: number | bigint, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

/**
 * A vendor and one of its devices, as `lspci -n` writes them: `8086:10d3`.
 *
 * @param vendor The vendor's id.
 * @param device The device's id.
 */
export function idPair(vendor: number, device: number): string {
  return `${hexDigits(vendor, 4)}:${hexDigits(device, 4)}`;
}
