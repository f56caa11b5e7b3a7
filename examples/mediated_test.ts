/**
 * The tests of `serial_echo.ts` and `screenshot.ts`, on a simulated host.
 *
 *     deno test examples/mediated_test.ts
 *
 * @module
 */
import { inflateSync } from "node:zlib";
import { assertEquals, assertThrows } from "@std/assert";
import type { Plane } from "../mod.ts";
import { simulate } from "../lib/sim/mod.ts";
import { encodePng, main as takePicture } from "./screenshot.ts";
import { main as echo } from "./serial_echo.ts";

/** A host with the kernel's sample drivers. */
function host() {
  return simulate({
    mediatedTypes: {
      "/sys/devices/virtual/mtty/mtty": { "mtty-1": { instances: 24 } },
      "/sys/devices/virtual/mdpy/mdpy": { "mdpy-vga": { instances: 4 } },
    },
  });
}

Deno.test("serial_echo.ts receives what it sends, and removes the port", async () => {
  const simulated = host();
  const text = "a text that is longer than the port's 16 bytes";
  assertEquals(await echo(simulated, text), text);
  const { kernel } = simulated;
  assertEquals(kernel.readdir("/sys/bus/mdev/devices"), []);
  assertEquals(kernel.readdir("/proc/self/fd"), []);
});

Deno.test("screenshot.ts makes a PNG of the picture, and removes the display", async () => {
  const simulated = host();
  const png = await takePicture(simulated);
  const rows = rowsOf(png);
  assertEquals(rows.length, 480);
  for (const [y, row] of rows.entries()) {
    const grey = Math.floor(y * 255 / 480);
    assertEquals([row.length, row[0]], [1 + 3 * 640, 0]);
    assertEquals(row.subarray(1).every((value) => value === grey), true);
  }
  assertEquals(simulated.kernel.readdir("/sys/bus/mdev/devices"), []);
});

Deno.test("encodePng() puts red first, and leaves out what is behind a row", () => {
  const plane = { format: "XR24", width: 2, height: 2, stride: 12 } as Plane;
  // blue, green, red, nothing
  const pixels = new Uint8Array(24).fill(99);
  pixels.set([1, 2, 3, 0, 4, 5, 6, 0], 0);
  pixels.set([7, 8, 9, 0, 10, 11, 12, 0], 12);
  assertEquals(rowsOf(encodePng(plane, pixels)).map((row) => [...row]), [
    [0, 3, 2, 1, 6, 5, 4],
    [0, 9, 8, 7, 12, 11, 10],
  ]);
  const other = { ...plane, format: "NV12" };
  assertThrows(() => encodePng(other, pixels), TypeError, "NV12");
});

/** The rows of a PNG, each with its filter. */
function rowsOf(png: Uint8Array): Uint8Array[] {
  const view = new DataView(png.buffer);
  const height = view.getUint32(20);
  const data = inflateSync(png.subarray(41, 41 + view.getUint32(33)));
  const length = data.length / height;
  return Array.from(
    { length: height },
    (_, y) => data.subarray(y * length, (y + 1) * length),
  );
}
