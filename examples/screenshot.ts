/**
 * Writes what a virtual GPU shows as a PNG file to standard output. The kernel's
 * sample `mdpy` has such displays; this makes one and removes it:
 *
 *     modprobe mdpy
 *     deno run --allow-ffi examples/screenshot.ts > screen.png
 *
 * @module
 */
import { crc32, deflateSync } from "node:zlib";
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, type Plane, VfioDevice } from "../mod.ts";
import { apply } from "../lib/provision/mod.ts";

/** The mediated device: a name of your own, and what makes it. */
const DISPLAY = {
  uuid: "0d6b43a1-7c2e-4c55-9a54-1f6c6d1d2b02",
  parent: "/sys/devices/virtual/mdpy/mdpy",
  type: "mdpy-vga",
};

/**
 * Encodes a picture as PNG.
 *
 * @param plane Its format, `"XR24"`, and its size.
 * @param pixels Its rows.
 */
export function encodePng(
  { format, width, height, stride }: Plane,
  pixels: Uint8Array,
): Uint8Array<ArrayBuffer> {
  if (format !== "XR24") throw new TypeError(`Cannot encode format ${format}`);
  // Each row begins with the number of its filter, 0 for none.
  const rows = new Uint8Array(height * (1 + 3 * width));
  let at = 0;
  for (let y = 0; y < height; y++) {
    at++;
    for (let x = 0; x < width; x++) {
      const [blue, green, red] = pixels.subarray(y * stride + 4 * x);
      rows.set([red!, green!, blue!], at);
      at += 3;
    }
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2], 8); // 8 bits each of red, green and blue
  const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  return joined([
    Uint8Array.from(signature),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array()),
  ]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const name = new TextEncoder().encode(type);
  const ends = new DataView(new ArrayBuffer(8));
  ends.setUint32(0, data.length);
  ends.setUint32(4, crc32(joined([name, data])));
  const [length, check] = [0, 4].map((at) =>
    new Uint8Array(ends.buffer, at, 4)
  );
  return joined([length!, name, data, check!]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * Takes a picture of a display that exists only for that.
 *
 * @param host The host, real or simulated.
 * @returns The picture, as a PNG file.
 */
export async function main(host: Host): Promise<Uint8Array<ArrayBuffer>> {
  await using _made = await apply(host, { mediated: [DISPLAY] });
  await using space = new AddressSpace({ host });
  await using gpu = await VfioDevice.attach(
    `/sys/bus/mdev/devices/${DISPLAY.uuid}`,
    space,
  );
  const display = await gpu.display();
  const plane = display.plane();
  if (plane === undefined) throw new Error("The display shows nothing");
  return encodePng(plane, display.capture(plane));
}

if (import.meta.main) {
  const png = await main(new Host());
  for (let at = 0; at < png.length;) {
    at += await Deno.stdout.write(png.subarray(at));
  }
}
