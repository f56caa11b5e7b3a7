/**
 * Reads functions from the text of `lspci -nn`, `-nnk` and `-nnvvv`.
 *
 * @module
 */

/** What a text says of a function. */
export interface PostedFunction {
  /** Its address, with the domain. */
  readonly address: string;
  /** Vendor and device: `"8086:10d3"`. */
  id?: string;
  /** Class, 24 bits; the programming interface is 0 where it is not told. */
  class?: number;
  /** Revision. */
  revision?: number;
  /** Subsystem's vendor and device. */
  subsystem?: string;
  /** Its driver; `null` for a function of which the text has details. */
  driver?: string | null;
  /** Its group. */
  group?: number;
  /** Its NUMA node. */
  numaNode?: number;
  /** Its BARs by number, in the format of a recording. */
  bars?: (string | null)[];
  /** The buses of a bridge: the nearest behind it, and the last. */
  buses?: readonly [secondary: number, subordinate: number];
  /** Whether its capabilities could be read. */
  readable?: boolean;
  /** The names of its capabilities. */
  capabilities: string[];
  /** Whether it can be reset by itself. */
  functionLevelReset?: boolean;
  /** MSI and MSI-X vectors, and whether it has an INTx pin. */
  interrupts: { intx?: boolean; msi?: number; msix?: number };
  /** Its virtual functions. */
  sriov?: {
    total: number;
    enabled: number;
    offset: number;
    stride: number;
    device: string;
  };
}

const HEAD =
  /^[>\s]*(?:IOMMU[ _]Group:?\s*\d+\s*:?\s*)?((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])\s+(.*)$/i;
/** `VGA compatible controller [0300]: NVIDIA … [10de:1b80] (rev a1)` */
const NAMED =
  /^(?:"?[^[\]"]*"?\s*)?\[([0-9a-f]{4})\]"?:?\s.*\[([0-9a-f]{4}:[0-9a-f]{4})\]/i;
/** `0300: 10de:1b80 (rev a1)` */
const NUMERIC = /^([0-9a-f]{4}): ([0-9a-f]{4}:[0-9a-f]{4})/i;

/**
 * Reads the functions of a text. Lines that tell nothing of a function are
 * passed over. A function that is listed twice is merged.
 *
 * @param text The text, perhaps quoted.
 */
export function parseLspci(text: string): Map<string, PostedFunction> {
  const found = new Map<string, PostedFunction>();
  let current: PostedFunction | undefined;
  for (const raw of text.split(/\r?\n/)) {
    const line = withoutQuote(raw);
    const head = HEAD.exec(line);
    const ids = head === null
      ? null
      : NAMED.exec(head[2]!) ?? NUMERIC.exec(head[2]!);
    if (head !== null && ids !== null) {
      current = functionAt(found, head[1]!);
      readHead(current, head[2]!, ids[1]!, ids[2]!);
    } else if (/^\S/.test(line) || line.trim() === "") {
      if (line.trim() !== "") current = undefined;
    } else if (current !== undefined) readDetail(current, line.trim());
  }
  return found;
}

/** A line without what quotes it, or marks it as code. */
export function withoutQuote(line: string): string {
  return line.replace(/^(?:>\s?)*`*/, "");
}

/** Writes an address as sysfs does. */
export function fullAddress(address: string): string {
  const lower = address.toLowerCase();
  return lower.split(":").length === 2 ? `0000:${lower}` : lower;
}

function functionAt(
  found: Map<string, PostedFunction>,
  posted: string,
): PostedFunction {
  const address = fullAddress(posted);
  const fn = found.get(address) ??
    { address, capabilities: [], interrupts: {} };
  found.set(address, fn);
  return fn;
}

function readHead(
  fn: PostedFunction,
  rest: string,
  code: string,
  id: string,
): void {
  const progIf = /\(prog-if ([0-9a-f]{2})/i.exec(rest)?.[1] ?? "00";
  const told = parseInt(code + progIf, 16);
  // Not every listing has the programming interface.
  if (told >> 8 !== (fn.class ?? -1) >> 8 || progIf !== "00") fn.class = told;
  fn.id = id.toLowerCase();
  const revision = /\(rev ([0-9a-f]{2})\)/i.exec(rest)?.[1];
  if (revision !== undefined) fn.revision = parseInt(revision, 16);
}

function readDetail(fn: PostedFunction, line: string): void {
  // A function with details and no driver's line has no driver.
  fn.driver ??= null;
  const is = (pattern: RegExp, use: (found: string[]) => void) => {
    const match = pattern.exec(line);
    if (match !== null) use(match.slice(1));
  };
  is(/^Subsystem:.*\[([0-9a-f]{4}:[0-9a-f]{4})\]/i, ([id]) => {
    fn.subsystem = id!.toLowerCase();
  });
  is(/^Kernel driver in use: (\S+)/, ([driver]) => {
    fn.driver = driver === "pcieport-driver" ? "pcieport" : driver!;
  });
  is(/^IOMMU group: (\d+)/i, ([group]) => {
    fn.group = Number(group);
  });
  is(/^NUMA node: (\d+)/, ([node]) => {
    fn.numaNode = Number(node);
  });
  is(/^Bus: primary=\w+, secondary=(\w+), subordinate=(\w+)/, ([a, b]) => {
    fn.buses = [parseInt(a!, 16), parseInt(b!, 16)];
  });
  is(/^Interrupt: pin [A-D]/, () => {
    fn.interrupts.intx = true;
  });
  is(/^Capabilities: <access denied>/, () => {
    fn.readable = false;
  });
  is(/^Capabilities: \[[^\]]+\] (.*)/, ([name]) => {
    fn.readable ??= true;
    fn.capabilities.push(name!);
  });
  is(/MSI: .*Count=\d+\/(\d+)/, ([count]) => {
    fn.interrupts.msi = Number(count);
  });
  is(/MSI-X: .*Count=(\d+)/, ([count]) => {
    fn.interrupts.msix = Number(count);
  });
  is(/\bFLReset([+-])/, ([sign]) => {
    // The register that switches it is written with the same name.
    if (fn.functionLevelReset !== true) fn.functionLevelReset = sign === "+";
  });
  is(/\bFLR([+-])/, ([sign]) => {
    if (sign === "+") fn.functionLevelReset = true;
  });
  readVirtual(fn, line);
  readBar(fn, line);
}

function readVirtual(fn: PostedFunction, line: string): void {
  const counts = /Total VFs: (\d+), Number of VFs: (\d+)/.exec(line);
  if (counts !== null) {
    fn.sriov = {
      total: Number(counts[1]),
      enabled: Number(counts[2]),
      offset: 128,
      stride: 2,
      device: "0000",
    };
  }
  const place = /VF offset: (\d+), stride: (\d+), Device ID: (\w{4})/
    .exec(line);
  if (place === null || fn.sriov === undefined) return;
  fn.sriov.offset = Number(place[1]);
  fn.sriov.stride = Number(place[2]);
  fn.sriov.device = place[3]!;
}

/** Reads a line such as `Region 0: Memory at f6000000 (…) [size=16M]`. */
function readBar(fn: PostedFunction, line: string): void {
  const match =
    /^(?:Region (\d): )?(Memory|I\/O ports) at (\S+)(?: \(([^)]*)\))?.*\[size=(\d+[KMGT]?)\]/
      .exec(line);
  // A virtual function's BARs are below its capability, without sizes.
  if (match === null || fn.sriov !== undefined) return;
  const [, number, kind, at, words = "", size] = match;
  const bars = fn.bars ??= [];
  const index = number === undefined ? freeBar(bars) : Number(number);
  while (bars.length < index) bars.push(null);
  const start = /^[0-9a-f]+$/.test(at!) ? ` at 0x${at}` : " at 0x0";
  const io = kind !== "Memory";
  const prefetchable = /(^|, )prefetchable/.test(words);
  const wide = words.includes("64-bit");
  bars[index] = `${size}${io ? " io" : ""}${wide ? " 64bit" : ""}` +
    `${prefetchable ? " prefetchable" : ""}${start}`;
}

function freeBar(bars: readonly (string | null)[]): number {
  const last = bars.findLastIndex((bar) => bar !== null);
  return last < 0 ? 0 : last + (bars[last]!.includes("64bit") ? 2 : 1);
}
