import type { Piece } from "../iommu/io_map.ts";

type RegisterPlace = NonNullable<Piece["registers"]>;

/** Reads registers of another device by DMA, in words of 32 bits where these fit. */
export function readRegisters(
  { views, at }: RegisterPlace,
  into: Uint8Array,
): void {
  if ((at | into.length) % 4 !== 0) {
    for (let i = 0; i < into.length; i++) into[i] = views.u8[at + i]!;
    return;
  }
  const view = new DataView(into.buffer, into.byteOffset);
  for (let i = 0; i < into.length; i += 4) {
    view.setUint32(i, views.u32[(at + i) / 4]!, true);
  }
}

/** Writes registers of another device by DMA, in the same way. */
export function writeRegisters(
  { views, at }: RegisterPlace,
  from: Uint8Array,
): void {
  if ((at | from.length) % 4 !== 0) {
    for (let i = 0; i < from.length; i++) views.u8[at + i] = from[i]!;
    return;
  }
  const view = new DataView(from.buffer, from.byteOffset);
  for (let i = 0; i < from.length; i += 4) {
    views.u32[(at + i) / 4] = view.getUint32(i, true);
  }
}
