/**
 * Decodes PCI addresses, config space and expansion ROMs. It needs no host: the
 * bytes come from a file, a listing, or a device.
 *
 * @example Decode a function's config space
 * ```ts
 * import { decodeConfigSpace, parsePciAddress } from "@passthru/vfio/pci";
 *
 * const bytes = new Uint8Array(64);
 * bytes.set([0x86, 0x80, 0xd3, 0x10]);
 * console.log(decodeConfigSpace(bytes).header["vendor"]);
 * console.log(parsePciAddress("0000:01:00.0").bus); // 1
 * ```
 *
 * @module
 */

export {
  comparePciAddresses,
  formatPciAddress,
  parsePciAddress,
  type PciAddress,
} from "./address.ts";
export {
  type ConfigCapability,
  type ConfigSpaceDump,
  decodeConfigSpace,
} from "./config/decode.ts";
export { parsePostedConfigs, type PostedConfig } from "./config/lspci_text.ts";
export type { ConfigFields, ConfigValue } from "./config/words.ts";
export { PciIds } from "./ids.ts";
export { decodeRom, type Rom, type RomImage } from "./rom_image.ts";
