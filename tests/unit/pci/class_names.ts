import { assertEquals } from "@std/assert";
import { className } from "../../../lib/pci/class_names.ts";

Deno.test("className() returns the subclass, or else the base class", () => {
  for (
    const [code, name] of [
      [0x000000, "Non-VGA unclassified device"],
      [0x010802, "Non-Volatile memory controller"],
      [0x020000, "Ethernet controller"],
      [0x02ff00, "Network controller"],
      [0x030000, "VGA compatible controller"],
      [0x040300, "Audio device"],
      [0x060400, "PCI bridge"],
      [0x0c0330, "USB controller"],
      [0x120000, "Processing accelerators"],
      [0xff0000, "Unassigned class"],
    ] as const
  ) assertEquals(className(code), name);
});

Deno.test("className() is undefined when the class is not listed", () => {
  assertEquals(className(0x550000), undefined);
});
