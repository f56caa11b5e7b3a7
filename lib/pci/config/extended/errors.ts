/**
 * Decodes the Advanced Error Reporting capability.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/extended_regs.ts";
import { type ConfigFields, flags, type Words } from "../words.ts";

const UNCORRECTABLE = {
  dataLink: regs.PCI_ERR_UNC_DLP,
  surpriseDown: regs.PCI_ERR_UNC_SURPDN,
  poisoned: regs.PCI_ERR_UNC_POISON_TLP,
  flowControl: regs.PCI_ERR_UNC_FCP,
  completionTimeout: regs.PCI_ERR_UNC_COMP_TIME,
  completerAbort: regs.PCI_ERR_UNC_COMP_ABORT,
  unexpectedCompletion: regs.PCI_ERR_UNC_UNX_COMP,
  receiverOverflow: regs.PCI_ERR_UNC_RX_OVER,
  malformed: regs.PCI_ERR_UNC_MALF_TLP,
  ecrc: regs.PCI_ERR_UNC_ECRC,
  unsupportedRequest: regs.PCI_ERR_UNC_UNSUP,
  acsViolation: regs.PCI_ERR_UNC_ACSV,
};

const CORRECTABLE = {
  receiver: regs.PCI_ERR_COR_RCVR,
  badTlp: regs.PCI_ERR_COR_BAD_TLP,
  badDllp: regs.PCI_ERR_COR_BAD_DLLP,
  rollover: regs.PCI_ERR_COR_REP_ROLL,
  replayTimeout: regs.PCI_ERR_COR_REP_TIMER,
  advisoryNonFatal: regs.PCI_ERR_COR_ADV_NFAT,
};

/** Decodes the Advanced Error Reporting capability. */
export function decodeErrors(words: Words): ConfigFields {
  const control = words.u32(regs.PCI_ERR_CAP);
  return {
    uncorrectable: flags(words.u32(regs.PCI_ERR_UNCOR_STATUS), UNCORRECTABLE),
    uncorrectableMasked: flags(
      words.u32(regs.PCI_ERR_UNCOR_MASK),
      UNCORRECTABLE,
    ),
    uncorrectableFatal: flags(
      words.u32(regs.PCI_ERR_UNCOR_SEVER),
      UNCORRECTABLE,
    ),
    correctable: flags(words.u32(regs.PCI_ERR_COR_STATUS), CORRECTABLE),
    correctableMasked: flags(words.u32(regs.PCI_ERR_COR_MASK), CORRECTABLE),
    control: {
      firstError: control & 0x1f,
      ...flags(control, {
        ecrcGeneration: regs.PCI_ERR_CAP_ECRC_GENC,
        ecrcGenerationOn: regs.PCI_ERR_CAP_ECRC_GENE,
        ecrcCheck: regs.PCI_ERR_CAP_ECRC_CHKC,
        ecrcCheckOn: regs.PCI_ERR_CAP_ECRC_CHKE,
      }),
    },
    headerLog: [0, 4, 8, 12].map((offset) =>
      hex(words.u32(regs.PCI_ERR_HEADER_LOG + offset), 8)
    ),
  };
}
