/**
 * Decodes the PCI-X capability.
 *
 * @module
 */

import { formatDevice } from "./requester.ts";
import * as regs from "../../../uapi/pci/capability_regs.ts";
import * as unnamed from "../../../uapi/pci/unnamed_regs.ts";
import {
  bits,
  type ConfigFields,
  flags,
  type FunctionFacts,
  type Words,
} from "../words.ts";

/** Split transactions at once, by the register's number. */
const SPLITS = [1, 2, 3, 4, 8, 12, 16, 32];

/** Modes and frequencies of a bridge's further bus, by the register's number. */
const FREQUENCIES = ["conventional", "66MHz", "100MHz", "133MHz"];

/** Decodes PCI-X, whose registers differ between functions and bridges. */
export function pciX(words: Words, { isBridge }: FunctionFacts): ConfigFields {
  return isBridge ? bridge(words) : endpoint(words);
}

const bytes = (exponent: number) => 512 << exponent;

function endpoint(words: Words): ConfigFields {
  const command = words.u16(regs.PCI_X_CMD);
  const status = words.u32(regs.PCI_X_STATUS);
  return {
    command: {
      ...flags(command, {
        recoversDataParity: regs.PCI_X_CMD_DPERR_E,
        relaxedOrdering: regs.PCI_X_CMD_ERO,
      }),
      maxRead: bytes(bits(command, regs.PCI_X_CMD_MAX_READ)),
      maxSplits: SPLITS[bits(command, regs.PCI_X_CMD_MAX_SPLIT)]!,
    },
    status: {
      device: formatDevice(status & 0xffff),
      ...flags(status, {
        "64bit": regs.PCI_X_STATUS_64BIT,
        "133MHz": regs.PCI_X_STATUS_133MHZ,
        splitDiscarded: regs.PCI_X_STATUS_SPL_DISC,
        unexpectedSplit: regs.PCI_X_STATUS_UNX_SPL,
        bridgeLike: regs.PCI_X_STATUS_COMPLEX,
        splitError: regs.PCI_X_STATUS_SPL_ERR,
        "266MHz": regs.PCI_X_STATUS_266MHZ,
        "533MHz": regs.PCI_X_STATUS_533MHZ,
      }),
      designedRead: bytes(bits(status, regs.PCI_X_STATUS_MAX_READ)),
      designedSplits: SPLITS[bits(status, regs.PCI_X_STATUS_MAX_SPLIT)]!,
      designedCumulative: 8 << bits(status, regs.PCI_X_STATUS_MAX_CUM),
    },
  };
}

function bridge(words: Words): ConfigFields {
  const secondary = words.u16(regs.PCI_X_BRIDGE_SSTATUS);
  const status = words.u32(regs.PCI_X_BRIDGE_STATUS);
  const frequency = bits(secondary, regs.PCI_X_SSTATUS_FREQ);
  return {
    secondaryStatus: {
      ...flags(secondary, {
        "64bit": regs.PCI_X_SSTATUS_64BIT,
        "133MHz": regs.PCI_X_SSTATUS_133MHZ,
        ...SPLITS_OF_BRIDGES,
        "266MHz": regs.PCI_X_SSTATUS_266MHZ,
        "533MHz": regs.PCI_X_SSTATUS_533MHZ,
      }),
      frequency: FREQUENCIES[frequency] ?? frequency,
    },
    status: {
      device: formatDevice(status & 0xffff),
      ...flags(status, {
        "64bit": regs.PCI_X_STATUS_64BIT,
        "133MHz": regs.PCI_X_STATUS_133MHZ,
        splitDiscarded: regs.PCI_X_STATUS_SPL_DISC,
        unexpectedSplit: regs.PCI_X_STATUS_UNX_SPL,
        splitOverrun: SPLITS_OF_BRIDGES.splitOverrun << 16,
        splitDelayed: SPLITS_OF_BRIDGES.splitDelayed << 16,
      }),
    },
    upstream: split(words.u32(unnamed.PCI_X_UPSTREAM)),
    downstream: split(words.u32(unnamed.PCI_X_DOWNSTREAM)),
  };
}

/** What happened to split transactions (PCI-X 2.0, 8.6.2.2). */
const SPLITS_OF_BRIDGES = {
  splitDiscarded: 0x04,
  unexpectedSplit: 0x08,
  splitOverrun: 0x10,
  splitDelayed: 0x20,
};

function split(register: number): ConfigFields {
  return {
    capacity: bits(register, unnamed.PCI_X_SPLIT_CAPACITY),
    limit: bits(register, unnamed.PCI_X_SPLIT_LIMIT),
  };
}
