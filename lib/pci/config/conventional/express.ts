/**
 * Decodes the PCI Express capability.
 *
 * @module
 */

import * as port from "../../../uapi/pci/express_port_regs.ts";
import * as regs from "../../../uapi/pci/express_regs.ts";
import { bits, type ConfigFields, flags, type Words } from "../words.ts";

const TYPES: Readonly<Record<number, string>> = {
  [regs.PCI_EXP_TYPE_ENDPOINT]: "endpoint",
  [regs.PCI_EXP_TYPE_LEG_END]: "legacy endpoint",
  [regs.PCI_EXP_TYPE_ROOT_PORT]: "root port",
  [regs.PCI_EXP_TYPE_UPSTREAM]: "upstream port",
  [regs.PCI_EXP_TYPE_DOWNSTREAM]: "downstream port",
  [regs.PCI_EXP_TYPE_PCI_BRIDGE]: "PCIe to PCI bridge",
  [regs.PCI_EXP_TYPE_PCIE_BRIDGE]: "PCI to PCIe bridge",
  [regs.PCI_EXP_TYPE_RC_END]: "root complex endpoint",
  [regs.PCI_EXP_TYPE_RC_EC]: "root complex event collector",
};

const PORTS: ReadonlySet<number> = new Set([
  regs.PCI_EXP_TYPE_ROOT_PORT,
  regs.PCI_EXP_TYPE_DOWNSTREAM,
]);
const NO_LINK: ReadonlySet<number> = new Set([
  regs.PCI_EXP_TYPE_RC_END,
  regs.PCI_EXP_TYPE_RC_EC,
]);
const HAS_ROOT: ReadonlySet<number> = new Set([
  regs.PCI_EXP_TYPE_ROOT_PORT,
  regs.PCI_EXP_TYPE_RC_EC,
]);

const SPEEDS = [null, 2.5, 5, 8, 16, 32, 64];
const ASPM = ["off", "L0s", "L1", "L0s L1"];
const L0S = ["<64ns", "<128ns", "<256ns", "<512ns", "<1us", "<2us", "<4us"];
const L1 = ["<1us", "<2us", "<4us", "<8us", "<16us", "<32us", "<64us"];
const UNLIMITED = "unlimited";

/** A size of payloads or requests, in bytes. */
const payload = (exponent: number) => 128 << exponent;

/** A link's speed in GT/s; `null` for a reserved number. */
const speed = (number: number) => SPEEDS[number] ?? null;

/** Decodes the PCI Express capability. */
export function decodeExpress(words: Words): ConfigFields {
  const head = words.u16(regs.PCI_EXP_FLAGS);
  const version = bits(head, regs.PCI_EXP_FLAGS_VERS);
  const type = bits(head, regs.PCI_EXP_FLAGS_TYPE);
  const slot = PORTS.has(type) && (head & regs.PCI_EXP_FLAGS_SLOT) !== 0;
  const hasLink = !NO_LINK.has(type);
  return {
    version,
    type: TYPES[type] ?? `type ${type}`,
    slot,
    interruptMessage: bits(head, regs.PCI_EXP_FLAGS_IRQ),
    ...device(words, type),
    ...hasLink && link(words),
    ...slot && slotRegisters(words),
    ...HAS_ROOT.has(type) && root(words),
    ...version >= 2 && secondRegisters(words, hasLink),
  };
}

function device(words: Words, type: number): ConfigFields {
  const capabilities = words.u32(regs.PCI_EXP_DEVCAP);
  const control = words.u16(regs.PCI_EXP_DEVCTL);
  const isEndpoint = type === regs.PCI_EXP_TYPE_ENDPOINT ||
    type === regs.PCI_EXP_TYPE_LEG_END;
  return {
    deviceCapabilities: {
      maxPayload: payload(bits(capabilities, regs.PCI_EXP_DEVCAP_PAYLOAD)),
      phantomFunctions: bits(capabilities, regs.PCI_EXP_DEVCAP_PHANTOM),
      ...flags(capabilities, {
        extendedTag: regs.PCI_EXP_DEVCAP_EXT_TAG,
        roleBasedErrors: regs.PCI_EXP_DEVCAP_RBER,
        functionLevelReset: regs.PCI_EXP_DEVCAP_FLR,
        tee: regs.PCI_EXP_DEVCAP_TEE,
      }),
      ...isEndpoint && {
        latencyL0s: L0S[bits(capabilities, regs.PCI_EXP_DEVCAP_L0S)] ??
          UNLIMITED,
        latencyL1: L1[bits(capabilities, regs.PCI_EXP_DEVCAP_L1)] ?? UNLIMITED,
      },
    },
    deviceControl: {
      ...flags(control, {
        correctableErrors: regs.PCI_EXP_DEVCTL_CERE,
        nonFatalErrors: regs.PCI_EXP_DEVCTL_NFERE,
        fatalErrors: regs.PCI_EXP_DEVCTL_FERE,
        unsupportedRequests: regs.PCI_EXP_DEVCTL_URRE,
        relaxedOrdering: regs.PCI_EXP_DEVCTL_RELAX_EN,
        extendedTag: regs.PCI_EXP_DEVCTL_EXT_TAG,
        phantomFunctions: regs.PCI_EXP_DEVCTL_PHANTOM,
        auxiliaryPower: regs.PCI_EXP_DEVCTL_AUX_PME,
        noSnoop: regs.PCI_EXP_DEVCTL_NOSNOOP_EN,
      }),
      maxPayload: payload(bits(control, regs.PCI_EXP_DEVCTL_PAYLOAD)),
      maxReadRequest: payload(bits(control, regs.PCI_EXP_DEVCTL_READRQ)),
    },
    deviceStatus: flags(words.u16(regs.PCI_EXP_DEVSTA), {
      correctableError: regs.PCI_EXP_DEVSTA_CED,
      nonFatalError: regs.PCI_EXP_DEVSTA_NFED,
      fatalError: regs.PCI_EXP_DEVSTA_FED,
      unsupportedRequest: regs.PCI_EXP_DEVSTA_URD,
      auxiliaryPower: regs.PCI_EXP_DEVSTA_AUXPD,
      transactionsPending: regs.PCI_EXP_DEVSTA_TRPND,
    }),
  };
}

function link(words: Words): ConfigFields {
  const capabilities = words.u32(regs.PCI_EXP_LNKCAP);
  const control = words.u16(regs.PCI_EXP_LNKCTL);
  const status = words.u16(regs.PCI_EXP_LNKSTA);
  return {
    linkCapabilities: {
      port: bits(capabilities, regs.PCI_EXP_LNKCAP_PN),
      speed: speed(bits(capabilities, regs.PCI_EXP_LNKCAP_SLS)),
      width: bits(capabilities, regs.PCI_EXP_LNKCAP_MLW),
      aspm: ASPM[bits(capabilities, regs.PCI_EXP_LNKCAP_ASPMS)]!,
      ...flags(capabilities, {
        clockPm: regs.PCI_EXP_LNKCAP_CLKPM,
        surpriseDown: regs.PCI_EXP_LNKCAP_SDERC,
        linkActiveReporting: regs.PCI_EXP_LNKCAP_DLLLARC,
        bandwidthNotification: regs.PCI_EXP_LNKCAP_LBNC,
      }),
    },
    linkControl: {
      aspm: ASPM[bits(control, regs.PCI_EXP_LNKCTL_ASPMC)]!,
      readCompletionBoundary: (control & regs.PCI_EXP_LNKCTL_RCB) === 0
        ? 64
        : 128,
      ...flags(control, {
        disabled: regs.PCI_EXP_LNKCTL_LD,
        commonClock: regs.PCI_EXP_LNKCTL_CCC,
        clockPm: regs.PCI_EXP_LNKCTL_CLKREQ_EN,
      }),
    },
    linkStatus: {
      speed: speed(bits(status, regs.PCI_EXP_LNKSTA_CLS)),
      width: bits(status, regs.PCI_EXP_LNKSTA_NLW),
      ...flags(status, {
        training: regs.PCI_EXP_LNKSTA_LT,
        slotClock: regs.PCI_EXP_LNKSTA_SLC,
        active: regs.PCI_EXP_LNKSTA_DLLLA,
        bandwidthManaged: regs.PCI_EXP_LNKSTA_LBMS,
        bandwidthAutonomous: regs.PCI_EXP_LNKSTA_LABS,
      }),
    },
  };
}

function slotRegisters(words: Words): ConfigFields {
  const capabilities = words.u32(port.PCI_EXP_SLTCAP);
  const control = words.u16(port.PCI_EXP_SLTCTL);
  return {
    slotCapabilities: {
      number: bits(capabilities, port.PCI_EXP_SLTCAP_PSN),
      ...flags(capabilities, {
        attentionButton: port.PCI_EXP_SLTCAP_ABP,
        powerController: port.PCI_EXP_SLTCAP_PCP,
        latchSensor: port.PCI_EXP_SLTCAP_MRLSP,
        attentionIndicator: port.PCI_EXP_SLTCAP_AIP,
        powerIndicator: port.PCI_EXP_SLTCAP_PIP,
        surprise: port.PCI_EXP_SLTCAP_HPS,
        hotPlug: port.PCI_EXP_SLTCAP_HPC,
        interlock: port.PCI_EXP_SLTCAP_EIP,
        noCommandCompleted: port.PCI_EXP_SLTCAP_NCCS,
      }),
    },
    slotControl: {
      ...flags(control, {
        attentionButton: port.PCI_EXP_SLTCTL_ABPE,
        powerFault: port.PCI_EXP_SLTCTL_PFDE,
        latchChanged: port.PCI_EXP_SLTCTL_MRLSCE,
        presenceChanged: port.PCI_EXP_SLTCTL_PDCE,
        commandCompleted: port.PCI_EXP_SLTCTL_CCIE,
        hotPlugInterrupt: port.PCI_EXP_SLTCTL_HPIE,
        linkChanged: port.PCI_EXP_SLTCTL_DLLSCE,
      }),
      power: (control & port.PCI_EXP_SLTCTL_PCC) === 0 ? "on" : "off",
    },
    slotStatus: flags(words.u16(port.PCI_EXP_SLTSTA), {
      attentionButton: port.PCI_EXP_SLTSTA_ABP,
      powerFault: port.PCI_EXP_SLTSTA_PFD,
      latchChanged: port.PCI_EXP_SLTSTA_MRLSC,
      presenceChanged: port.PCI_EXP_SLTSTA_PDC,
      commandCompleted: port.PCI_EXP_SLTSTA_CC,
      latchOpen: port.PCI_EXP_SLTSTA_MRLSS,
      present: port.PCI_EXP_SLTSTA_PDS,
      interlock: port.PCI_EXP_SLTSTA_EIS,
      linkChanged: port.PCI_EXP_SLTSTA_DLLSC,
    }),
  };
}

function root(words: Words): ConfigFields {
  return {
    rootControl: flags(words.u16(port.PCI_EXP_RTCTL), {
      correctableErrors: port.PCI_EXP_RTCTL_SECEE,
      nonFatalErrors: port.PCI_EXP_RTCTL_SENFEE,
      fatalErrors: port.PCI_EXP_RTCTL_SEFEE,
      pmeInterrupt: port.PCI_EXP_RTCTL_PMEIE,
      retryVisible: port.PCI_EXP_RTCTL_CRSSVE,
    }),
    rootCapabilities: flags(words.u16(port.PCI_EXP_RTCAP), {
      retryVisible: port.PCI_EXP_RTCAP_CRSVIS,
    }),
    rootStatus: flags(words.u32(port.PCI_EXP_RTSTA), {
      pme: port.PCI_EXP_RTSTA_PME,
      pmePending: port.PCI_EXP_RTSTA_PENDING,
    }),
  };
}

function secondRegisters(words: Words, hasLink: boolean): ConfigFields {
  const capabilities = words.u32(regs.PCI_EXP_DEVCAP2);
  const control = words.u16(regs.PCI_EXP_DEVCTL2);
  return {
    deviceCapabilities2: flags(capabilities, {
      timeoutDisable: regs.PCI_EXP_DEVCAP2_COMP_TMOUT_DIS,
      ariForwarding: regs.PCI_EXP_DEVCAP2_ARI,
      atomicRouting: regs.PCI_EXP_DEVCAP2_ATOMIC_ROUTE,
      atomic32: regs.PCI_EXP_DEVCAP2_ATOMIC_COMP32,
      atomic64: regs.PCI_EXP_DEVCAP2_ATOMIC_COMP64,
      atomic128: regs.PCI_EXP_DEVCAP2_ATOMIC_COMP128,
      ltr: regs.PCI_EXP_DEVCAP2_LTR,
      tphCompleter: regs.PCI_EXP_DEVCAP2_TPH_COMP_MASK,
      endToEndPrefixes: regs.PCI_EXP_DEVCAP2_EE_PREFIX,
    }),
    deviceControl2: {
      completionTimeout: bits(control, regs.PCI_EXP_DEVCTL2_COMP_TIMEOUT),
      ...flags(control, {
        timeoutDisabled: regs.PCI_EXP_DEVCTL2_COMP_TMOUT_DIS,
        ariForwarding: regs.PCI_EXP_DEVCTL2_ARI,
        atomicRequests: regs.PCI_EXP_DEVCTL2_ATOMIC_REQ,
        atomicEgressBlocked: regs.PCI_EXP_DEVCTL2_ATOMIC_EGRESS_BLOCK,
        idoRequests: regs.PCI_EXP_DEVCTL2_IDO_REQ_EN,
        idoCompletions: regs.PCI_EXP_DEVCTL2_IDO_CMP_EN,
        ltr: regs.PCI_EXP_DEVCTL2_LTR_EN,
      }),
    },
    ...hasLink && {
      linkControl2: {
        targetSpeed: speed(
          bits(words.u16(regs.PCI_EXP_LNKCTL2), regs.PCI_EXP_LNKCTL2_TLS),
        ),
      },
    },
  };
}
