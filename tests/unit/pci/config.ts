import { assert, assertEquals, assertThrows } from "@std/assert";
import { decodeConfigSpace } from "../../../lib/pci/config/decode.ts";
import {
  PCI_CAP_ID_EA,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAP_ID_VNDR,
} from "../../../lib/uapi/pci/regs.ts";
import {
  PCI_EXT_CAP_ID_ACS,
  PCI_EXT_CAP_ID_DSN,
  PCI_EXT_CAP_ID_REBAR,
  PCI_EXT_CAP_ID_SRIOV,
} from "../../../lib/uapi/pci/express_regs.ts";
import { randomNumbers } from "../random.ts";

/** Config space with some words of 32 bits, by offset. */
function space(
  size: number,
  words: Readonly<Record<number, number>>,
): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x10d3_8086, true);
  view.setUint16(6, 0x10, true);
  view.setUint8(0x34, 0x40);
  for (const [offset, word] of Object.entries(words)) {
    view.setUint32(Number(offset), word, true);
  }
  return bytes;
}

/** Decodes config space with one capability, and returns its fields. */
function only(bytes: Uint8Array) {
  const { capabilities, problems } = decodeConfigSpace(bytes);
  assertEquals(problems, []);
  assertEquals(capabilities.length, 1);
  return capabilities[0]!;
}

Deno.test("decodeConfigSpace() distinguishes ports and memory, and 64 and 32 bits, in BARs", () => {
  const { header } = decodeConfigSpace(space(256, {
    0x34: 0,
    0x10: 0xfe00_000c,
    0x14: 0x0000_0001,
    0x18: 0x0000_c001,
    0x1c: 0xfd00_0000,
    0x30: 0xfc00_0001,
  }));
  assertEquals(header.bars, [
    {
      index: 0,
      kind: "memory",
      address: "0x1fe000000",
      is64bit: true,
      prefetchable: true,
    },
    { index: 2, kind: "io", address: "0xc000" },
    {
      index: 3,
      kind: "memory",
      address: "0xfd000000",
      is64bit: false,
      prefetchable: false,
    },
  ]);
  assertEquals(header.rom, { address: "0xfc000000", enabled: true });
});

Deno.test("decodeConfigSpace() returns a bridge's buses and windows, and null for a closed window", () => {
  const { header } = decodeConfigSpace(space(256, {
    0x0c: 0x0001_0000,
    0x18: 0x0004_0201,
    0x1c: 0x0000_1131,
    0x20: 0xfe10_fe00,
    0x24: 0x0001_fff1,
    0x34: 0,
  }));
  assertEquals(
    [header.type, header.primaryBus, header.secondaryBus],
    ["bridge", 1, 2],
  );
  assertEquals(header.subordinateBus, 4);
  assertEquals(header.ioWindow, null);
  assertEquals(header.memoryWindow, {
    start: "0xfe000000",
    last: "0xfe1fffff",
  });
  assertEquals(header.prefetchableWindow, null);
});

Deno.test("decodeConfigSpace() decodes power management", () => {
  const { name, fields } = only(space(256, {
    0x40: 0xc823_0000 | PCI_CAP_ID_PM,
    0x44: 0x0000_010b,
  }));
  assertEquals(name, "Power Management");
  assertEquals(
    [fields.state, fields.noSoftReset, fields.pmeEnabled, fields.pmeFrom],
    ["D3", true, true, ["D0", "D3hot", "D3cold"]],
  );
});

Deno.test("decodeConfigSpace() decodes MSI of 64 bits with masks", () => {
  const { fields } = only(space(256, {
    0x40: 0x01a7_0000 | PCI_CAP_ID_MSI,
    0x44: 0xfee0_0000,
    0x48: 0x1,
    0x4c: 0x4021,
    0x50: 0x6,
  }));
  assertEquals(fields, {
    enabled: true,
    vectors: 8,
    vectorsEnabled: 4,
    is64bit: true,
    maskable: true,
    address: "0x1fee00000",
    data: "0x4021",
    masked: "0x00000006",
    pending: "0x00000000",
  });
});

Deno.test("decodeConfigSpace() decodes MSI-X", () => {
  const { fields } = only(space(256, {
    0x40: 0x8004_0000 | PCI_CAP_ID_MSIX,
    0x44: 0x0000_2003,
    0x48: 0xffff_f004,
  }));
  assertEquals(fields, {
    enabled: true,
    vectors: 5,
    masked: false,
    table: { bar: 3, offset: "0x00002000" },
    pendingBits: { bar: 4, offset: "0xfffff000" },
  });
});

Deno.test("decodeConfigSpace() decodes enhanced allocation", () => {
  const { fields } = only(space(256, {
    0x40: 0x0001_0000 | PCI_CAP_ID_EA,
    0x44: 0x8000_0003,
    0x48: 0x1000_0002,
    0x4c: 0x000f_fffc,
    0x50: 0x0000_0008,
  }));
  assertEquals(fields.entries, [{
    resource: "BAR 0",
    enabled: true,
    writable: false,
    properties: "memory",
    secondaryProperties: "memory",
    base: "0x810000000",
    maxOffset: "0xfffff",
  }]);
});

Deno.test("decodeConfigSpace() decodes extended capabilities in the order of their chain", () => {
  const { capabilities } = decodeConfigSpace(space(4096, {
    0x40: PCI_CAP_ID_EXP,
    0x100: 0x1401_0000 | PCI_EXT_CAP_ID_DSN,
    0x104: 0xff12_3456,
    0x108: 0xa036_9fff,
    0x140: 0x1601_0000 | PCI_EXT_CAP_ID_ACS,
    0x144: 0x001d_005f,
    0x160: 0x1a01_0000 | PCI_EXT_CAP_ID_SRIOV,
    0x16c: 0x0007_0008,
    0x170: 0x0002,
    0x174: 0x0002_0080,
    0x178: 0x10ca_0000,
    0x1a0: 0x0001_0000 | PCI_EXT_CAP_ID_REBAR,
    0x1a4: 0x0001_ff10,
    0x1a8: 0x0000_0820,
  }));
  assertEquals(
    capabilities.map(({ at, extended, version }) => [at, extended, version]),
    [[0x40, false, undefined], [0x100, true, 1], [0x140, true, 1], [
      0x160,
      true,
      1,
    ], [0x1a0, true, 1]],
  );
  const [, dsn, acs, sriov, rebar] = capabilities.map(({ fields }) => fields);
  assertEquals(dsn, { serial: "a0-36-9f-ff-ff-12-34-56" });
  const { requestRedirect, egressControl } = acs!.control as Record<
    string,
    boolean
  >;
  assertEquals([requestRedirect, egressControl], [true, false]);
  assertEquals(
    [sriov!.initial, sriov!.total, sriov!.number, sriov!.offset],
    [8, 7, 2, 0x80],
  );
  assertEquals([sriov!.stride, sriov!.device], [2, "10ca"]);
  assertEquals(rebar!.bars, [{
    bar: 0,
    size: "256M",
    possible: [
      "1M",
      "16M",
      "32M",
      "64M",
      "128M",
      "256M",
      "512M",
      "1G",
      "2G",
      "4G",
    ],
  }]);
});

Deno.test("decodeConfigSpace() names a capability by its number when it is unknown", () => {
  assertEquals(only(space(256, { 0x40: 0x42 })).name, "capability 0x42");
});

Deno.test("decodeConfigSpace() reports a problem when a chain leads back", () => {
  const { capabilities, problems } = decodeConfigSpace(space(4096, {
    0x40: 0x5001,
    0x50: 0x4000 | PCI_CAP_ID_EXP,
    0x100: 0x1401_0003,
    0x140: 0x1001_000d,
  }));
  assertEquals(capabilities.length, 4);
  assertEquals(problems, [
    "the capability list leads back to 0x40",
    "the extended capability list leads back to 0x100",
  ]);
});

Deno.test("decodeConfigSpace() reports a problem when a chain leads into the header", () => {
  const { problems } = decodeConfigSpace(space(256, { 0x40: 0x1001 }));
  assertEquals(problems, [
    "the capability list leads into the header, to 0x10",
  ]);
});

Deno.test("decodeConfigSpace() reports a problem when a function does not answer", () => {
  const { header, problems } = decodeConfigSpace(
    new Uint8Array(256).fill(0xff),
  );
  assertEquals(header, {});
  assertEquals(problems.length, 1);
});

Deno.test("decodeConfigSpace() returns only the header when only root sees more", () => {
  const { header, capabilities, problems } = decodeConfigSpace(
    space(4096, { 0x40: 0x0001 }).subarray(0, 64),
  );
  assertEquals([header.vendor, capabilities], ["8086", []]);
  assertEquals(problems, [
    "the capabilities from 0x40 on cannot be read: there are 64 bytes, and " +
    "root sees more",
  ]);
});

Deno.test("decodeConfigSpace() marks a capability as truncated when it is incomplete", () => {
  const bytes = space(256, { 0xfc: PCI_CAP_ID_MSIX });
  bytes[0x34] = 0xfc;
  assertEquals(only(bytes).truncated, true);
  const long = space(256, { 0x40: 0x00ff_0000 | PCI_CAP_ID_VNDR });
  assertEquals(only(long).truncated, true);
});

Deno.test("decodeConfigSpace() throws when there is less than a header", () => {
  assertThrows(() => decodeConfigSpace(new Uint8Array(63)), RangeError);
});

Deno.test("decodeConfigSpace() returns when config space is random", () => {
  const next = randomNumbers(1);
  for (let round = 0; round < 2000; round++) {
    const bytes = new Uint8Array([64, 128, 256, 300, 4096][round % 5]!);
    for (let i = 0; i < bytes.length; i++) bytes[i] = next(256);
    bytes[6]! |= 0x10;
    if (round % 3 === 0) bytes[0x0e] = 1;
    const { capabilities } = decodeConfigSpace(bytes);
    assert(capabilities.length <= 1024);
    JSON.stringify(capabilities);
  }
});
