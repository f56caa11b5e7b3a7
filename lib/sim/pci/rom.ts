/**
 * Makes and measures expansion ROMs.
 *
 * @module
 */

import {
  PCI_ROM_CODE_EFI,
  PCI_ROM_DATA,
  PCI_ROM_DATA_CLASS,
  PCI_ROM_DATA_CODE_TYPE,
  PCI_ROM_DATA_DEVICE_ID,
  PCI_ROM_DATA_DEVICE_LIST,
  PCI_ROM_DATA_IMAGE_LENGTH,
  PCI_ROM_DATA_INDICATOR,
  PCI_ROM_DATA_LENGTH,
  PCI_ROM_DATA_REVISION,
  PCI_ROM_DATA_SIGNATURE,
  PCI_ROM_DATA_SIGNATURE_VALUE,
  PCI_ROM_DATA_SIZE,
  PCI_ROM_DATA_VENDOR_ID,
  PCI_ROM_INDICATOR_LAST,
  PCI_ROM_SIGNATURE,
  PCI_ROM_SIGNATURE_VALUE,
  PCI_ROM_UNIT,
} from "../../uapi/pci/rom.ts";

/** The function that an image is for. */
export interface RomIdentity {
  /** Vendor id, 16 bits. */
  readonly vendor: number;
  /** Device id, 16 bits. */
  readonly device: number;
  /** Class code, 24 bits. */
  readonly class: number;
}

/** The offset of the PCI data structure in these images. */
const DATA = 0x1c;

/**
 * Makes a ROM of images without code. No firmware runs them.
 *
 * @param identity The function that they are for.
 * @param lengths The length of each image, in units of 512 bytes.
 */
export function makeRom(
  identity: RomIdentity,
  lengths: readonly number[] = [1],
): Uint8Array<ArrayBuffer> {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const rom = new Uint8Array(total * PCI_ROM_UNIT);
  for (let i = 0; i < rom.length; i++) rom[i] = i * 7;
  let at = 0;
  for (const [i, length] of lengths.entries()) {
    const view = new DataView(rom.buffer, at, length * PCI_ROM_UNIT);
    const last = i === lengths.length - 1 ? PCI_ROM_INDICATOR_LAST : 0;
    view.setUint8(DATA + PCI_ROM_DATA_INDICATOR, last);
    putHeader(view, identity, length);
    at += view.byteLength;
  }
  return rom;
}

function putHeader(
  view: DataView,
  { vendor, device, class: code }: RomIdentity,
  length: number,
): void {
  const put16 = (at: number, value: number) => view.setUint16(at, value, true);
  put16(PCI_ROM_SIGNATURE, PCI_ROM_SIGNATURE_VALUE);
  put16(PCI_ROM_DATA, DATA);
  view.setUint32(
    DATA + PCI_ROM_DATA_SIGNATURE,
    PCI_ROM_DATA_SIGNATURE_VALUE,
    true,
  );
  put16(DATA + PCI_ROM_DATA_VENDOR_ID, vendor);
  put16(DATA + PCI_ROM_DATA_DEVICE_ID, device);
  put16(DATA + PCI_ROM_DATA_DEVICE_LIST, 0);
  put16(DATA + PCI_ROM_DATA_LENGTH, PCI_ROM_DATA_SIZE);
  view.setUint8(DATA + PCI_ROM_DATA_REVISION, 0);
  view.setUint8(DATA + PCI_ROM_DATA_CLASS, code & 0xff);
  put16(DATA + PCI_ROM_DATA_CLASS + 1, code >> 8);
  put16(DATA + PCI_ROM_DATA_IMAGE_LENGTH, length);
  view.setUint8(DATA + PCI_ROM_DATA_CODE_TYPE, PCI_ROM_CODE_EFI);
}

/**
 * Returns the size of the images in a ROM's window, as the kernel determines it
 * (`pci_get_rom_size()` in `drivers/pci/rom.c`).
 *
 * @param window The whole contents of the window.
 * @returns The size in bytes; 0 without an image.
 */
export function romSize(window: Uint8Array): number {
  const view = new DataView(
    window.buffer,
    window.byteOffset,
    window.byteLength,
  );
  // The kernel may read beyond the window, where anything can be.
  const u16 = (at: number) =>
    at + 2 <= window.length ? view.getUint16(at, true) : 0xffff;
  let at = 0;
  for (;;) {
    if (u16(at + PCI_ROM_SIGNATURE) !== PCI_ROM_SIGNATURE_VALUE) break;
    const data = at + u16(at + PCI_ROM_DATA);
    const name = u16(data) | u16(data + 2) << 16;
    if (name !== PCI_ROM_DATA_SIGNATURE_VALUE) break;
    const length = u16(data + PCI_ROM_DATA_IMAGE_LENGTH);
    at += length * PCI_ROM_UNIT;
    const indicator = window[data + PCI_ROM_DATA_INDICATOR] ?? 0xff;
    const last = (indicator & PCI_ROM_INDICATOR_LAST) !== 0;
    if (length === 0 || last || at >= window.length) break;
  }
  return Math.min(at, window.length);
}
