import { VfioError } from "../errors.ts";
import { hasErrno } from "../kernel/errno.ts";
import { PCI_CLASS_REVISION } from "../uapi/pci/regs.ts";
import type { Region } from "./regions/region.ts";

/**
 * Whether a PCI function answers. Its vendor id does not tell: vfio-pci has
 * that from the device's opening (`init_pci_cap_basic_perm()` in
 * `vfio_pci_config.c`). Class and revision come from the function, and are not
 * all ones.
 *
 * @param config Its config space.
 */
export function isPresent(config: Region): boolean {
  try {
    return config.read32(PCI_CLASS_REVISION) !== 0xffff_ffff;
  } catch (error) {
    // What the kernel answers of a function that was pulled out.
    if (error instanceof VfioError && hasErrno(error.cause, "ENODEV")) {
      return false;
    }
    throw error;
  }
}
