const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size in words: `"16 KiB"`, `"1.5 MiB"`, `"100 bytes"`. */
export function sizeText(bytes: number | bigint): string {
  let size = Number(bytes);
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${Number(size.toFixed(1))} ${UNITS[unit]}`;
}
