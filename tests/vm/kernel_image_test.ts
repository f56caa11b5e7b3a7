import { assertEquals } from "@std/assert";
import { decompressImage } from "./kernel_image.ts";

/** An image with one sector of setup and a payload 16 bytes behind it. */
async function withImage(
  payload: Uint8Array,
  work: (path: string) => Promise<void>,
): Promise<void> {
  const image = new Uint8Array(1024 + 16 + payload.length + 4);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x248, 16, true);
  view.setUint32(0x24c, payload.length + 4, true);
  image.set(payload, 1024 + 16);
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, image);
    await work(path);
  } finally {
    await Deno.remove(path);
  }
}

async function xz(text: string): Promise<Uint8Array> {
  const child = new Deno.Command("xz", {
    args: ["--check=crc32"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.output();
  await new Blob([text]).stream().pipeTo(child.stdin);
  return (await output).stdout;
}

Deno.test("decompressImage() replaces the image by the kernel", async () => {
  await withImage(await xz("a kernel"), async (path) => {
    await decompressImage(path);
    assertEquals(await Deno.readTextFile(path), "a kernel");
  });
});

Deno.test("decompressImage() changes nothing when the image is compressed otherwise", async () => {
  await withImage(new Uint8Array([0x1f, 0x8b, 0x08]), async (path) => {
    const before = await Deno.readFile(path);
    await decompressImage(path);
    assertEquals(await Deno.readFile(path), before);
  });
});
