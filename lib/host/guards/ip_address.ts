/**
 * IP addresses as text. Not by `node:net`, which takes longer to load than Deno
 * takes to start.
 *
 * @module
 */

/** The 32 bits of an IPv4 address, or `undefined` where the text is none. */
export function ipv4Number(text: string): number | undefined {
  const bytes = text.split(".");
  const isAddress = bytes.length === 4 &&
    bytes.every((byte) => /^(0|[1-9]\d{0,2})$/.test(byte) && +byte < 256);
  if (!isAddress) return undefined;
  return bytes.reduce((value, byte) => value * 256 + Number(byte), 0);
}

/** An IPv4 address as text. */
export function ipv4Text(number: number): string {
  return [24, 16, 8, 0].map((shift) => number >>> shift & 0xff).join(".");
}

/** An IPv6 address as text, with its longest row of zeros left out. */
export function ipv6Text(digits: string): string {
  const text = (digits.match(/.{4}/g) ?? [])
    .map((word) => parseInt(word, 16).toString(16)).join(":");
  const [longest = ""] = (text.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? [])
    .sort((a, b) => b.length - a.length);
  if (longest === "") return text;
  const at = text.indexOf(longest);
  return `${text.slice(0, at)}::${text.slice(at + longest.length + 1)}`;
}

/**
 * The 32 hexadecimal digits of an IPv6 address without a zone, or `undefined`
 * where the text is none.
 */
export function ipv6Digits(text: string): string | undefined {
  const [head = "", tail, ...more] = text.toLowerCase().split("::");
  // Zeros are left out once at most.
  if (more.length > 0) return undefined;
  const before = wordsOf(head, tail === undefined);
  const after = wordsOf(tail ?? "", true);
  if (before === undefined || after === undefined) return undefined;
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  return [...before, ...Array(missing).fill("0"), ...after]
    .map((word) => word.padStart(4, "0")).join("");
}

/** The words of part of an address, which can end in an IPv4 address. */
function wordsOf(part: string, isEnd: boolean): string[] | undefined {
  if (part === "") return [];
  const words = part.split(":");
  const last = words.at(-1)!;
  if (isEnd && last.includes(".")) {
    const number = ipv4Number(last);
    if (number === undefined) return undefined;
    const halves = [number >>> 16, number & 0xffff];
    words.splice(-1, 1, ...halves.map((half) => half.toString(16)));
  }
  return words.every((word) => /^[\da-f]{1,4}$/.test(word)) ? words : undefined;
}
