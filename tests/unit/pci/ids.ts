import { assertEquals } from "@std/assert";
import { PciIds } from "../../../lib/pci/ids.ts";

const TEXT = `# A comment
0001  SafeNet (wrong ID)
1af4  Red Hat, Inc.
\t1041  Virtio 1.0 network device
\t\t1af4 1100  QEMU Virtual Machine
\t1042  Virtio 1.0 block device
# between two vendors
8086  Intel Corporation
\t10d3  82574L Gigabit Network Connection
\t\t1042 0001  A subsystem with a device's number
ffff  Illegal Vendor ID
C 01  Mass storage controller
\t00  SCSI storage controller
\t08  Non-Volatile memory controller
\t\t01  NVMHCI
\t\t02  NVM Express
C 02  Network controller
\t00  Ethernet controller
C 03  Display controller`;

const ids = new PciIds(TEXT);

Deno.test("PciIds.vendor() finds the first, a middle and the last vendor", () => {
  assertEquals(ids.vendor(0x0001), "SafeNet (wrong ID)");
  assertEquals(ids.vendor(0x8086), "Intel Corporation");
  assertEquals(ids.vendor(0xffff), "Illegal Vendor ID");
});

Deno.test("PciIds.vendor() is undefined when the vendor is not listed", () => {
  assertEquals(ids.vendor(0x1234), undefined);
  assertEquals(ids.vendor(0x10d3), undefined); // that is a device
});

Deno.test("PciIds.vendor() finds vendors in any order, also where they are not sorted", () => {
  const unsorted = new PciIds(`${TEXT}\n0002  Added at the end\n`);
  for (const names of [ids, unsorted]) {
    assertEquals(names.vendor(0x8086), "Intel Corporation");
    assertEquals(names.vendor(0x0001), "SafeNet (wrong ID)");
    assertEquals(names.vendor(0xffff), "Illegal Vendor ID");
    assertEquals(names.vendor(0x1af4), "Red Hat, Inc.");
  }
  assertEquals(unsorted.vendor(0x0002), "Added at the end");
});

Deno.test("PciIds.device() finds a device only of its own vendor", () => {
  assertEquals(
    ids.device(0x8086, 0x10d3),
    "82574L Gigabit Network Connection",
  );
  assertEquals(ids.device(0x1af4, 0x1042), "Virtio 1.0 block device");
  assertEquals(ids.device(0x1af4, 0x10d3), undefined);
  assertEquals(ids.device(0x8086, 0x1042), undefined);
  assertEquals(ids.device(0x1234, 0x10d3), undefined);
});

Deno.test("PciIds.class() names as much as is listed", () => {
  assertEquals(
    ids.class(0x010802),
    "Non-Volatile memory controller (NVM Express)",
  );
  assertEquals(ids.class(0x020000), "Ethernet controller");
  assertEquals(ids.class(0x0280ff), "Network controller");
  assertEquals(ids.class(0x030000), "Display controller");
  assertEquals(ids.class(0xff0000), undefined);
});

Deno.test("PciIds returns no names when the database is not installed", () => {
  const empty = new PciIds("");
  assertEquals(empty.vendor(0x8086), undefined);
  assertEquals(empty.device(0x8086, 0x10d3), undefined);
  assertEquals(empty.class(0x020000), undefined);
});
