/**
 * Reads config space from the text that `lspci -x`, `-xxx` and `-xxxx` write.
 *
 * @module
 */

/** A function in a text of `lspci -x`, and its config space. */
export interface PostedConfig {
  /** Its address with the domain; `undefined` where the text has none. */
  readonly address: string | undefined;
  /** The rest of the line with its address: its class and name. */
  readonly title: string;
  /** The bytes that the text has, from the first on, without a gap. */
  readonly bytes: Uint8Array;
}

/** The first line of a function. Posts quote and indent it. */
const FUNCTION =
  /^[>\s]*((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])(?:\s+(.*))?$/i;
/** A line of bytes. */
const BYTES = /^[>\s]*([0-9a-f]{2,3}):((?: [0-9a-f]{2}){1,16})\s*$/i;

/**
 * Reads the config space of each function in a text. Other lines, such as those
 * of `lspci -vvv`, are passed over.
 *
 * @param text What `lspci -x`, `-xxx` or `-xxxx` wrote, perhaps quoted.
 * @returns The functions that have bytes, in the order of the text.
 *
 * @example
 * ```ts
 * import { decodeConfigSpace, parsePostedConfigs } from "@passthru/vfio/pci";
 *
 * const text = "01:00.0 x\n00: 86 80 d3 10 07 00 10 00";
 * for (const { address, bytes } of parsePostedConfigs(text)) {
 *   // Whoever posts more rows of lspci -xxxx gets more than the ids.
 *   if (bytes.length >= 64) console.log(address, decodeConfigSpace(bytes));
 * }
 * ```
 */
export function parsePostedConfigs(text: string): PostedConfig[] {
  const found: { address?: string; title: string; bytes: number[] }[] = [];
  let open = false;
  for (const line of text.split(/\r?\n/)) {
    const head = FUNCTION.exec(line);
    if (head !== null) {
      const [, address = "", title = ""] = head;
      found.push({ address: withDomain(address), title, bytes: [] });
      open = true;
      continue;
    }
    const row = BYTES.exec(line);
    if (row === null) continue;
    const at = parseInt(row[1]!, 16);
    // The first line of bytes without a line that names its function.
    if (at === 0 && (!open || found.at(-1)!.bytes.length > 0)) {
      found.push({ title: "", bytes: [] });
      open = true;
    }
    const bytes = found.at(-1)?.bytes;
    if (bytes?.length !== at) continue;
    bytes.push(...row[2]!.trim().split(" ").map((byte) => parseInt(byte, 16)));
  }
  return found.filter(({ bytes }) => bytes.length > 0)
    .map(({ address, title, bytes }) => ({
      address,
      title,
      bytes: Uint8Array.from(bytes),
    }));
}

/** Adds the domain that lspci leaves out where there is only one. */
function withDomain(address: string): string {
  const lower = address.toLowerCase();
  return lower.split(":").length === 2 ? `0000:${lower}` : lower;
}
