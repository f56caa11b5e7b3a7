/**
 * Decodes Integrity and Data Encryption.
 *
 * @module
 */

import { hex } from "../../../hex.ts";
import * as regs from "../../../uapi/pci/ide_regs.ts";
import {
  bits,
  type ConfigFields,
  type ConfigValue,
  flags,
  type Words,
} from "../words.ts";

const STATES: Readonly<Record<number, string>> = { 0: "insecure", 2: "secure" };
const state = (number: number) => STATES[number] ?? `reserved ${number}`;

/** Names an algorithm; there is one so far. */
const algorithm = (number: number) =>
  number === 0 ? "AES-GCM-256-96b" : `reserved ${number}`;

/** Decodes the capability with all its streams. */
export function dataEncryption(words: Words): ConfigFields {
  const capabilities = words.u32(regs.PCI_IDE_CAP);
  const classes = bits(capabilities, regs.PCI_IDE_CAP_LINK_TC_NUM) + 1;
  const links = (capabilities & regs.PCI_IDE_CAP_LINK) !== 0 ? classes : 0;
  const selective = (capabilities & regs.PCI_IDE_CAP_SELECTIVE) !== 0
    ? bits(capabilities, regs.PCI_IDE_CAP_SEL_NUM) + 1
    : 0;
  const firstSelective = regs.PCI_IDE_LINK_STREAM_0 +
    links * regs.PCI_IDE_LINK_BLOCK_SIZE;
  return {
    links,
    selective,
    ...flags(capabilities, {
      flowThrough: regs.PCI_IDE_CAP_FLOWTHROUGH,
      partialHeader: regs.PCI_IDE_CAP_PARTIAL_HEADER_ENC,
      aggregation: regs.PCI_IDE_CAP_AGGREGATION,
      pcrc: regs.PCI_IDE_CAP_PCRC,
      keyManagement: regs.PCI_IDE_CAP_IDE_KM,
      selectiveConfiguration: regs.PCI_IDE_CAP_SEL_CFG,
      teeLimited: regs.PCI_IDE_CAP_TEE_LIMITED,
    }),
    algorithm: algorithm(bits(capabilities, regs.PCI_IDE_CAP_ALG)),
    trafficClasses: classes,
    control: flags(words.u32(regs.PCI_IDE_CTL), {
      flowThrough: regs.PCI_IDE_CTL_FLOWTHROUGH_IDE,
    }),
    linkStreams: Array.from({ length: links }, (_, i) => linkStream(words, i)),
    selectiveStreams: selectiveStreams(words, firstSelective, selective),
  };
}

function linkStream(words: Words, index: number): ConfigValue {
  const at = regs.PCI_IDE_LINK_STREAM_0 + index * regs.PCI_IDE_LINK_BLOCK_SIZE;
  const control = words.u32(at + regs.PCI_IDE_LINK_CTL_0);
  const status = words.u32(at + regs.PCI_IDE_LINK_STS_0);
  return {
    ...flags(control, {
      enabled: regs.PCI_IDE_LINK_CTL_EN,
      pcrc: regs.PCI_IDE_LINK_CTL_PCRC_EN,
    }),
    algorithm: algorithm(bits(control, regs.PCI_IDE_LINK_CTL_ALG)),
    trafficClass: bits(control, regs.PCI_IDE_LINK_CTL_TC),
    id: bits(control, regs.PCI_IDE_LINK_CTL_ID),
    state: state(bits(status, regs.PCI_IDE_LINK_STS_STATE)),
    failed: (status & regs.PCI_IDE_LINK_STS_IDE_FAIL) !== 0,
  };
}

function selectiveStreams(
  words: Words,
  first: number,
  count: number,
): ConfigValue[] {
  const streams: ConfigValue[] = [];
  let at = first;
  for (let i = 0; i < count; i++) {
    const ranges = bits(
      words.u32(at + regs.PCI_IDE_SEL_CAP),
      regs.PCI_IDE_SEL_CAP_ASSOC_NUM,
    );
    const firstRange = at + regs.PCI_IDE_SEL_RID_2 + 4;
    streams.push(selectiveStream(words, at, firstRange, ranges));
    at = firstRange + ranges * regs.PCI_IDE_SEL_ADDR_BLOCK_SIZE;
  }
  return streams;
}

function selectiveStream(
  words: Words,
  at: number,
  firstRange: number,
  ranges: number,
): ConfigValue {
  const control = words.u32(at + regs.PCI_IDE_SEL_CTL);
  const status = words.u32(at + regs.PCI_IDE_SEL_STS);
  const first = words.u32(at + regs.PCI_IDE_SEL_RID_2);
  const last = words.u32(at + regs.PCI_IDE_SEL_RID_1);
  return {
    ...flags(control, {
      enabled: regs.PCI_IDE_SEL_CTL_EN,
      pcrc: regs.PCI_IDE_SEL_CTL_PCRC_EN,
      configuration: regs.PCI_IDE_SEL_CTL_CFG_EN,
      default: regs.PCI_IDE_SEL_CTL_DEFAULT,
    }),
    algorithm: algorithm(bits(control, regs.PCI_IDE_SEL_CTL_ALG)),
    trafficClass: bits(control, regs.PCI_IDE_SEL_CTL_TC),
    id: bits(control, regs.PCI_IDE_SEL_CTL_ID),
    state: state(bits(status, regs.PCI_IDE_SEL_STS_STATE)),
    failed: (status & regs.PCI_IDE_SEL_STS_IDE_FAIL) !== 0,
    requesters: {
      valid: (first & regs.PCI_IDE_SEL_RID_2_VALID) !== 0,
      first: hex(bits(first, regs.PCI_IDE_SEL_RID_2_BASE), 4),
      last: hex(bits(last, regs.PCI_IDE_SEL_RID_1_LIMIT), 4),
      segment: bits(first, regs.PCI_IDE_SEL_RID_2_SEG),
    },
    addresses: Array.from(
      { length: ranges },
      (_, i) =>
        addresses(words, firstRange + i * regs.PCI_IDE_SEL_ADDR_BLOCK_SIZE),
    ),
  };
}

/** Decodes a range of addresses. It counts in units of 1 MiB. */
function addresses(words: Words, at: number): ConfigValue {
  const low = words.u32(at);
  const address = (upper: number, lower: number) =>
    BigInt(words.u32(upper)) << 32n | BigInt(lower) << 20n;
  const base = address(at + 8, bits(low, regs.PCI_IDE_SEL_ADDR_1_BASE_LOW));
  const limit = address(at + 4, bits(low, regs.PCI_IDE_SEL_ADDR_1_LIMIT_LOW));
  return {
    valid: (low & regs.PCI_IDE_SEL_ADDR_1_VALID) !== 0,
    start: hex(base),
    last: hex(limit | 0xf_ffffn),
  };
}
