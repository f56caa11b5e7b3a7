/**
 * Decodes config space: the header and each capability.
 *
 * @module
 */

import { hex } from "../../hex.ts";
import {
  PCI_EXT_CAP_ID,
  PCI_EXT_CAP_NEXT,
  PCI_EXT_CAP_VER,
} from "../../uapi/pci/express_regs.ts";
import {
  PCI_CAP_LIST_ID,
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STD_HEADER_SIZEOF,
  PCI_VENDOR_ID,
} from "../../uapi/pci/regs.ts";
import { CAPABILITIES } from "./capabilities.ts";
import { EXTENDED } from "./extended.ts";
import { decodeHeader } from "./header.ts";
import { type ConfigFields, type Known, Truncated, Words } from "./words.ts";

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
  return {
    size: bytes.length,
    header: decodeHeader(words),
    capabilities: [
      ...conventional(view, problems),
      ...extended(view, problems),
    ],
    problems,
  };
}

function* conventional(
  view: DataView,
  problems: string[],
): Generator<ConfigCapability> {
  const words = new Words(view);
  if ((words.u16(PCI_STATUS) & PCI_STATUS_CAP_LIST) === 0) return;
  const seen = new Set<number>();
  let at = words.u8(PCI_CAPABILITY_LIST) & ~3;
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
    yield decodeCapability(view, at, id, CAPABILITIES[id], undefined);
    at = words.u8(at + PCI_CAP_LIST_NEXT) & ~3;
  }
}

function* extended(
  view: DataView,
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
    // Id 0 is a placeholder that only links to the next.
    if (id !== 0) {
      yield decodeCapability(view, at, id, EXTENDED[id], PCI_EXT_CAP_VER(head));
    }
    at = PCI_EXT_CAP_NEXT(head);
  }
}

function decodeCapability(
  view: DataView,
  at: number,
  id: number,
  known: Known | undefined,
  version: number | undefined,
): ConfigCapability {
  const [name = `capability ${hex(id, 2)}`, decode] = known ?? [];
  const capability = { id, name, extended: version !== undefined, at, version };
  try {
    const fields = decode?.(new Words(view, at)) ?? {};
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
