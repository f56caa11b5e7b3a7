import { shortJson } from "../../printable.ts";
import {
  PCI_EXT_CAP_ID_DSN,
  PCI_EXT_CAP_NEXT,
} from "../../uapi/pci/express_regs.ts";
import { PCI_CFG_SPACE_SIZE } from "../../uapi/pci/regs.ts";

const CAP_VERSION = 1;
/** The offset after the capabilities that other modules write. */
const PLACE = 0x148;

/**
 * Writes a Device Serial Number into config space, at the end of the chain of
 * extended capabilities.
 *
 * @param view The config space, of 4 KiB.
 * @param serial The number, as lspci writes it: `"a0-36-9f-ff-ff-12-34-56"`.
 * @throws {TypeError} When it is no serial number, or there is no room for it.
 */
export function putSerialNumber(view: DataView, serial: string): void {
  if (!/^[0-9a-f]{2}(-[0-9a-f]{2}){7}$/i.test(serial)) {
    throw new TypeError(
      `Cannot parse serial number ${shortJson(serial)}: ` +
        'expected one such as "a0-36-9f-ff-ff-12-34-56"',
    );
  }
  if (view.byteLength <= PCI_CFG_SPACE_SIZE) {
    throw new TypeError("A conventional function can have no serial number");
  }
  let last = PCI_CFG_SPACE_SIZE;
  let head = view.getUint32(last, true);
  const at = head === 0 ? last : PLACE;
  while (at !== last && PCI_EXT_CAP_NEXT(head) !== 0) {
    last = PCI_EXT_CAP_NEXT(head);
    head = view.getUint32(last, true);
  }
  if (at !== last) view.setUint32(last, head | at << 20, true);
  view.setUint32(at, CAP_VERSION << 16 | PCI_EXT_CAP_ID_DSN, true);
  // The lower half comes first.
  const value = BigInt(`0x${serial.replaceAll("-", "")}`);
  view.setUint32(at + 4, Number(value & 0xffff_ffffn), true);
  view.setUint32(at + 8, Number(value >> 32n), true);
}
