/**
 * Expansion ROMs: which images are in one, and whose they are.
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
  /** Where it begins, in bytes. */
  readonly offset: number;
  /** Its length, in bytes. */
  readonly length: number;
  /** The vendor of the functions that it is for, 16 bits. */
  readonly vendor: number;
  /** The functions' device ids: one, and from revision 3 on a list. */
  readonly devices: readonly number[];
  /** The functions' class code, 24 bits. */
  readonly class: number;
  /** Who runs it: 0 is an x86 BIOS, 1 Open Firmware, 3 EFI. */
  readonly codeType: number;
}

/** What is in an expansion ROM. */
export interface Rom {
  /** Its images, in order; none where it is no ROM. */
  readonly images: readonly RomImage[];
  /** Where its last image ends, in bytes: there may be less, or more. */
  readonly length: number;
}

/**
 * Decodes an expansion ROM, be it what was read of one or a file: image after
 * image, up to the one that says that it is the last, or to what is none
 * (`pci_get_rom_size()` in `drivers/pci/rom.c` goes the same way). Whatever the
 * bytes are, this ends, and throws nothing.
 *
 * @param bytes What may be a ROM.
 * @returns What is in it.
 */
export function decodeRom(bytes: Uint8Array): Rom {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const images: RomImage[] = [];
  let length = 0;
  for (let last = false; !last;) {
    const data = dataOf(view, length);
    if (data === undefined) break;
    const image = imageAt(view, length, data);
    // One without a length leads nowhere.
    if (image.length === 0) break;
    images.push(image);
    length += image.length;
    const indicator = view.getUint8(data + PCI_ROM_DATA_INDICATOR);
    last = (indicator & PCI_ROM_INDICATOR_LAST) !== 0;
  }
  return { images, length };
}

/**
 * Whether any of a ROM's images is for a function.
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

/** Where the PCI data structure of the image at `start` is, if there is one. */
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

/** Device ids, up to one of 0 or the image's end. */
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
