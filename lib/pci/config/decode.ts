/**
 * Decodes config space: the header and each capability.
 *
 * @module
 */

import { hex } from "../../hex.ts";
import { PCI_CB_CAPABILITY_LIST } from "../../uapi/pci/cardbus_regs.ts";
import {
  PCI_EXP_FLAGS,
  PCI_EXP_FLAGS_TYPE,
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXP_TYPE_UPSTREAM,
  PCI_EXT_CAP_ID,
  PCI_EXT_CAP_NEXT,
  PCI_EXT_CAP_VER,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_PCIX,
  PCI_CAP_LIST_ID,
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_CARDBUS,
  PCI_HEADER_TYPE_MASK,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
  PCI_VENDOR_ID,
} from "../../uapi/pci/regs.ts";
import { CAPABILITIES } from "./conventional/capabilities.ts";
import { EXTENDED } from "./extended/extended.ts";
import { decodeHeader } from "./header/header.ts";
import {
  bits,
  type ConfigFields,
  type FunctionFacts,
  type Known,
  Truncated,
  Words,
} from "./words.ts";

/** A decoded capability of a function. */
export interface ConfigCapability {
  /** Its id: one of `PCI_CAP_ID_*`, or of `PCI_EXT_CAP_ID_*`. */
  readonly id: number;
  /** Its name: `"MSI-X"`; `"capability 0x42"` if it is unknown. */
  readonly name: string;
  /** Whether it is an extended capability, beyond the first 256 bytes. */
  readonly extended: boolean;
  /** Its offset in config space, in bytes. */
  readonly at: number;
  /** The version of an extended capability. */
  readonly version: number | undefined;
  /** The values of its registers, by name. */
  readonly fields: ConfigFields;
  /** Whether it is incomplete, because its last bytes could not be read. */
  readonly truncated: boolean;
}

/** A function's decoded config space. */
export interface ConfigSpaceDump {
  /** How many bytes could be read. */
  readonly size: number;
  /** The values of the header, by register. */
  readonly header: ConfigFields;
  /** The capabilities, in the order of their chains. */
  readonly capabilities: readonly ConfigCapability[];
  /** What is wrong with it, as clauses: for example a chain that loops. */
  readonly problems: readonly string[];
}

/**
 * Decodes config space as it is read from the attribute `config`. It decodes as
 * much as there is: without root, the kernel gives only the first 64 bytes.
 * Malformed config space is reported in `problems`.
 *
 * @param bytes The first 64 bytes, 256, or all 4,096.
 * @returns The decoded header and capabilities.
 * @throws {RangeError} If there are fewer than 64.
 *
 * @example
 * ```ts
 * import { decodeConfigSpace } from "@passthru/vfio/pci";
 *
 * const bytes = new Uint8Array(64).fill(0xff);
 * console.log(decodeConfigSpace(bytes).problems[0]);
 * ```
 */
export function decodeConfigSpace(bytes: Uint8Array): ConfigSpaceDump {
  if (bytes.length < PCI_STD_HEADER_SIZEOF) {
    throw new RangeError(
      `Cannot decode ${bytes.length} bytes of config space: expected ` +
        `${PCI_STD_HEADER_SIZEOF} at least`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = new Words(view);
  const problems: string[] = [];
  if (words.u16(PCI_VENDOR_ID) === 0xffff) {
    problems.push("the function does not answer: it is off, gone, or in reset");
    return { size: bytes.length, header: {}, capabilities: [], problems };
  }
  const kind = words.u8(PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MASK;
  const found = [...conventional(view, kind, problems)];
  return {
    size: bytes.length,
    header: decodeHeader(words),
    capabilities: mayHaveExtended(found) && !isAliased(view)
      ? [...found, ...extended(view, factsOf(words, kind, found), problems)]
      : found,
    problems,
  };
}

/** What later capabilities depend on, from what was found so far. */
function factsOf(
  words: Words,
  kind: number,
  found: readonly ConfigCapability[],
): FunctionFacts {
  const express = found.find(({ id }) => id === PCI_CAP_ID_EXP);
  const type = express === undefined || express.truncated
    ? undefined
    : bits(words.u16(express.at + PCI_EXP_FLAGS), PCI_EXP_FLAGS_TYPE);
  return {
    isBridge: kind === PCI_HEADER_TYPE_BRIDGE,
    isPort: type === PCI_EXP_TYPE_ROOT_PORT || type === PCI_EXP_TYPE_UPSTREAM ||
      type === PCI_EXP_TYPE_DOWNSTREAM,
  };
}

/**
 * Whether there can be anything beyond 256 bytes: only PCI Express and PCI-X
 * define it (`pci_cfg_space_size()` in `drivers/pci/probe.c`).
 */
function mayHaveExtended(found: readonly ConfigCapability[]): boolean {
  return found.some(({ id }) =>
    id === PCI_CAP_ID_EXP || id === PCI_CAP_ID_PCIX
  );
}

/**
 * Whether what is beyond 256 bytes only repeats them, because a bridge on the
 * way leaves out the upper bits of offsets (`pci_ext_cfg_is_aliased()` in
 * `drivers/pci/probe.c`).
 */
function isAliased(view: DataView): boolean {
  const first = view.getUint32(PCI_VENDOR_ID, true);
  let at = PCI_CFG_SPACE_SIZE;
  if (at + 4 > view.byteLength) return false;
  while (at + 4 <= view.byteLength) {
    if (view.getUint32(at, true) !== first) return false;
    at += PCI_CFG_SPACE_SIZE;
  }
  return true;
}

function* conventional(
  view: DataView,
  kind: number,
  problems: string[],
): Generator<ConfigCapability> {
  const words = new Words(view);
  if ((words.u16(PCI_STATUS) & PCI_STATUS_CAP_LIST) === 0) return;
  const facts = factsOf(words, kind, []);
  const seen = new Set<number>();
  const list = kind === PCI_HEADER_TYPE_CARDBUS
    ? PCI_CB_CAPABILITY_LIST
    : PCI_CAPABILITY_LIST;
  let at = words.u8(list) & ~3;
  while (at !== 0) {
    if (at < PCI_STD_HEADER_SIZEOF || seen.has(at)) {
      problems.push(chainProblem("capability", at, seen));
      return;
    }
    seen.add(at);
    if (at + PCI_CAP_LIST_NEXT >= view.byteLength) {
      problems.push(unreadable(view, at));
      return;
    }
    const id = words.u8(at + PCI_CAP_LIST_ID);
    if (id === 0xff) {
      problems.push(`there is no capability at ${hex(at, 2)}`);
      return;
    }
    yield decodeCapability(view, at, id, CAPABILITIES[id], undefined, facts);
    at = words.u8(at + PCI_CAP_LIST_NEXT) & ~3;
  }
}

function* extended(
  view: DataView,
  facts: FunctionFacts,
  problems: string[],
): Generator<ConfigCapability> {
  const words = new Words(view);
  const seen = new Set<number>();
  let at = PCI_CFG_SPACE_SIZE;
  while (at !== 0 && at + 4 <= view.byteLength) {
    if (at < PCI_CFG_SPACE_SIZE || seen.has(at)) {
      problems.push(chainProblem("extended capability", at, seen));
      return;
    }
    seen.add(at);
    const head = words.u32(at);
    // A function without any has an empty first one. An unreachable one reads
    // as ones.
    if (head === 0 || head === 0xffff_ffff) return;
    const id = PCI_EXT_CAP_ID(head);
    const version = PCI_EXT_CAP_VER(head);
    yield decodeCapability(view, at, id, EXTENDED[id], version, facts);
    at = PCI_EXT_CAP_NEXT(head);
  }
}

function decodeCapability(
  view: DataView,
  at: number,
  id: number,
  known: Known | undefined,
  version: number | undefined,
  facts: FunctionFacts,
): ConfigCapability {
  const [name = `capability ${hex(id, 2)}`, decode] = known ?? [];
  const capability = { id, name, extended: version !== undefined, at, version };
  try {
    const fields = decode?.(new Words(view, at), facts) ?? {};
    return { ...capability, fields, truncated: false };
  } catch (error) {
    if (!(error instanceof Truncated)) throw error;
    return { ...capability, fields: {}, truncated: true };
  }
}

function chainProblem(
  listName: string,
  at: number,
  seen: ReadonlySet<number>,
): string {
  return seen.has(at)
    ? `the ${listName} list leads back to ${hex(at, 2)}`
    : `the ${listName} list leads into the header, to ${hex(at, 2)}`;
}

function unreadable(view: DataView, at: number): string {
  return `the capabilities from ${hex(at, 2)} on cannot be read: ` +
    `there are ${view.byteLength} bytes` +
    (view.byteLength === PCI_STD_HEADER_SIZEOF ? ", and root sees more" : "");
}
