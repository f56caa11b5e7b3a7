import { assertEquals } from "@std/assert";
import { at, GPU, hostWith, uses, usual } from "./used_host.ts";

Deno.test("usesOf() finds the display that the machine booted with", () => {
  for (const name of ["boot_vga", "boot_display"]) {
    const host = hostWith(usual().file(`${at(GPU)}/${name}`, "1\n"));
    assertEquals(uses(host, GPU), [
      ["boot display", "it is the display that the machine booted with"],
    ]);
  }
});

Deno.test("usesOf() finds the frame buffer of the console", () => {
  const console = "/sys/class/vtconsole/vtcon1";
  const files = usual()
    .file("/sys/class/graphics/fb0", { link: `${at(GPU)}/graphics/fb0` })
    .file(`${console}/name`, "(M) frame buffer device\n")
    .file(`${console}/bind`, "1\n");
  assertEquals(uses(hostWith(files), GPU), [
    ["boot display", "the console is on its frame buffer fb0"],
  ]);
  files.file(`${console}/bind`, "0\n");
  assertEquals(uses(hostWith(files), GPU), []);
});
