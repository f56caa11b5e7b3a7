/**
 * Kernel images, in the format for boot loaders
 * (`Documentation/arch/x86/boot.rst` in the kernel's source).
 *
 * @module
 */
import { quote, run } from "./command.ts";

const SETUP_SECTORS = 0x1f1;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const XZ = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];

/**
 * Decompresses an image in place if xz has compressed it: that would take the
 * guest seven seconds under emulation. QEMU starts an uncompressed kernel by
 * PVH, which Debian's kernels have.
 *
 * @param path The path of the image.
 */
export async function decompressImage(path: string): Promise<void> {
  const image = await Deno.readFile(path);
  const view = new DataView(image.buffer);
  const start = (view.getUint8(SETUP_SECTORS) + 1) * 512 +
    view.getUint32(PAYLOAD_OFFSET, true);
  // The size after decompression follows the payload.
  const end = start + view.getUint32(PAYLOAD_LENGTH, true) - 4;
  const payload = image.subarray(start, end);
  if (!XZ.every((byte, i) => payload[i] === byte)) return;
  const compressed = `${path}.xz`;
  await Deno.writeFile(compressed, payload);
  await run(["sh", "-c", `xz -dc ${quote(compressed)} > ${quote(path)}`]);
  await Deno.remove(compressed);
}
