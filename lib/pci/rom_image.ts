/**
 * Decodes expansion ROMs: their images, and the functions that these are for.
 *
 * @module
 */

import {
  PCI_ROM_DATA,
  PCI_ROM_DATA_CLASS,
  PCI_ROM_DATA_CODE_TYPE,
  PCI_ROM_DATA_DEVICE_ID,
  PCI_ROM_DATA_DEVICE_LIST,
  PCI_ROM_DATA_IMAGE_LENGTH,
  PCI_ROM_DATA_INDICATOR,
  PCI_ROM_DATA_REVISION,
  PCI_ROM_DATA_REVISION_DEVICE_LIST,
  PCI_ROM_DATA_SIGNATURE,
  PCI_ROM_DATA_SIGNATURE_VALUE,
  PCI_ROM_DATA_SIZE,
  PCI_ROM_DATA_VENDOR_ID,
  PCI_ROM_HEADER_SIZE,
  PCI_ROM_INDICATOR_LAST,
  PCI_ROM_SIGNATURE,
  PCI_ROM_SIGNATURE_VALUE,
  PCI_ROM_UNIT,
} from "../uapi/pci/rom.ts";

/** One of the images in an expansion ROM. */
export interface RomImage {
  /** Its offset in the ROM, in bytes. */
  readonly offset: number;
  /** Its length, in bytes. */
  readonly length: number;
  /** The vendor of the functions that it is for, 16 bits. */
  readonly vendor: number;
  /**
   * The functions' device ids: one, with further ones in a list from revision 3
   * on.
   */
  readonly devices: readonly number[];
  /** The functions' class code, 24 bits. */
  readonly class: number;
  /** The firmware that runs it: 0 is an x86 BIOS, 1 Open Firmware, 3 EFI. */
  readonly codeType: number;
}

/** A decoded expansion ROM. */
export interface Rom {
  /** Its images, in order; none if it is no ROM. */
  readonly images: readonly RomImage[];
  /**
   * The end of its last image, in bytes. The bytes given may be fewer or more.
   */
  readonly length: number;
}

/**
 * Decodes an expansion ROM, read from a function or from a file: image after
 * image, up to the one marked as the last, or to bytes that are no image (as
 * `pci_get_rom_size()` in `drivers/pci/rom.c` does). It never throws.
 *
 * @param bytes The bytes, which need not be a ROM.
 * @returns Its images.
 */
export function decodeRom(bytes: Uint8Array): Rom {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const images: RomImage[] = [];
  let length = 0;
  for (let last = false; !last;) {
    const data = dataOf(view, length);
    if (data === undefined) break;
    const image = imageAt(view, length, data);
    // An image without a length has no successor.
    if (image.length === 0) break;
    images.push(image);
    length += image.length;
    const indicator = view.getUint8(data + PCI_ROM_DATA_INDICATOR);
    last = (indicator & PCI_ROM_INDICATOR_LAST) !== 0;
  }
  return { images, length };
}

/**
 * Returns whether any of a ROM's images is for a function.
 *
 * @param rom The ROM.
 * @param fn The function's vendor and device ids.
 */
export function isRomOf(
  { images }: Rom,
  fn: { readonly vendor: number; readonly device: number },
): boolean {
  return images.some(({ vendor, devices }) =>
    vendor === fn.vendor && devices.includes(fn.device)
  );
}

/**
 * Returns the offset of the PCI data structure of the image at `start`, if
 * there is one.
 */
function dataOf(view: DataView, start: number): number | undefined {
  if (start + PCI_ROM_HEADER_SIZE > view.byteLength) return undefined;
  const signature = view.getUint16(start + PCI_ROM_SIGNATURE, true);
  if (signature !== PCI_ROM_SIGNATURE_VALUE) return undefined;
  const data = start + view.getUint16(start + PCI_ROM_DATA, true);
  if (data + PCI_ROM_DATA_SIZE > view.byteLength) return undefined;
  const name = view.getUint32(data + PCI_ROM_DATA_SIGNATURE, true);
  return name === PCI_ROM_DATA_SIGNATURE_VALUE ? data : undefined;
}

function imageAt(view: DataView, offset: number, data: number): RomImage {
  const u8 = (at: number) => view.getUint8(data + at);
  const u16 = (at: number) => view.getUint16(data + at, true);
  const length = u16(PCI_ROM_DATA_IMAGE_LENGTH) * PCI_ROM_UNIT;
  const list = u16(PCI_ROM_DATA_DEVICE_LIST);
  const listed = list !== 0 &&
    u8(PCI_ROM_DATA_REVISION) >= PCI_ROM_DATA_REVISION_DEVICE_LIST;
  return {
    offset,
    length,
    vendor: u16(PCI_ROM_DATA_VENDOR_ID),
    devices: [
      u16(PCI_ROM_DATA_DEVICE_ID),
      ...listed ? devicesAt(view, data + list, offset + length) : [],
    ],
    class: u8(PCI_ROM_DATA_CLASS) | u16(PCI_ROM_DATA_CLASS + 1) << 8,
    codeType: u8(PCI_ROM_DATA_CODE_TYPE),
  };
}

/** Reads device ids, up to an id of 0 or the image's end. */
function devicesAt(view: DataView, start: number, end: number): number[] {
  const devices: number[] = [];
  const limit = Math.min(end, view.byteLength);
  for (let at = start; at + 2 <= limit; at += 2) {
    const device = view.getUint16(at, true);
    if (device === 0) break;
    devices.push(device);
  }
  return devices;
}
