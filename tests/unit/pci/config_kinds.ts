import { assertEquals } from "@std/assert";
import { decodeConfigSpace } from "../../../lib/pci/config/decode.ts";
import * as ext from "../../../lib/uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EA,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_HT,
  PCI_CAP_ID_PCIX,
  PCI_CAP_ID_PM,
} from "../../../lib/uapi/pci/regs.ts";

/** Config space with a capability list at 0x40, and words by offset. */
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

/** Config space of a PCI Express function with one extended capability. */
function express(words: Readonly<Record<number, number>>): Uint8Array {
  return space(4096, { 0x40: PCI_CAP_ID_EXP, ...words });
}

/** The last capability. */
function last(bytes: Uint8Array) {
  const { capabilities, problems } = decodeConfigSpace(bytes);
  assertEquals(problems, []);
  return capabilities.at(-1)!;
}

Deno.test("decodeConfigSpace() decodes a CardBus bridge, whose list begins elsewhere", () => {
  const { header, capabilities } = decodeConfigSpace(space(256, {
    0x0c: 0x0002_0000,
    0x10: 0xe000_0000,
    0x14: 0x0000_0080,
    0x18: 0x4005_0403,
    0x1c: 0xc000_0000,
    0x20: 0xc3ff_f000,
    0x24: 0xd000_0000,
    0x28: 0xcfff_f000,
    0x2c: 0x0001_2001,
    0x30: 0x0001_20fd,
    0x34: 0,
    0x38: 0,
    0x3c: 0x0540_0000,
    0x40: 0x1234_1028,
    0x44: 1,
    0x80: PCI_CAP_ID_PM,
  }));
  assertEquals(header.type, "CardBus bridge");
  assertEquals(
    [header.primaryBus, header.secondaryBus, header.subordinateBus],
    [3, 4, 5],
  );
  assertEquals(header.memoryWindow0, {
    start: "0xc0000000",
    last: "0xc3ffffff",
    prefetchable: true,
  });
  assertEquals([header.memoryWindow1, header.ioWindow1], [null, null]);
  assertEquals(header.ioWindow0, { start: "0x12000", last: "0x120ff" });
  assertEquals(
    [header.subsystemVendor, header.subsystemDevice],
    ["1028", "1234"],
  );
  assertEquals(capabilities.map(({ at }) => at), [0x80]);
});

Deno.test("decodeConfigSpace() decodes a CardBus bridge's header when only that can be read", () => {
  const bytes = space(64, { 0x0c: 0x0002_0000, 0x14: 0xa0 });
  assertEquals(decodeConfigSpace(bytes).header.secondaryBus, 0);
});

Deno.test("decodeConfigSpace() finds no extended capabilities when nothing can have any", () => {
  const words = { 0x40: PCI_CAP_ID_PM, 0x100: 0x0001_0003 };
  assertEquals(decodeConfigSpace(space(4096, words)).capabilities.length, 1);
});

Deno.test("decodeConfigSpace() finds extended capabilities of PCI-X", () => {
  const words = { 0x40: PCI_CAP_ID_PCIX, 0x100: 0x0001_0003 };
  assertEquals(decodeConfigSpace(space(4096, words)).capabilities.length, 2);
});

Deno.test("decodeConfigSpace() finds no extended capabilities when the space repeats itself", () => {
  const first = space(256, { 0x40: PCI_CAP_ID_EXP });
  const bytes = new Uint8Array(4096);
  for (let at = 0; at < bytes.length; at += 256) bytes.set(first, at);
  const { capabilities, problems } = decodeConfigSpace(bytes);
  assertEquals([capabilities.length, problems], [1, []]);
});

Deno.test("decodeConfigSpace() names the capability Null, and goes on behind it", () => {
  const { capabilities } = decodeConfigSpace(space(4096, {
    0x40: 0x5000,
    0x50: PCI_CAP_ID_EXP,
    0x100: 0x1101_0000,
    0x110: 0x0001_0000 | ext.PCI_EXT_CAP_ID_DSN,
  }));
  assertEquals(
    capabilities.map(({ name, at }) => [name, at]),
    [
      ["Null", 0x40],
      ["Express", 0x50],
      ["Null", 0x100],
      ["Device Serial Number", 0x110],
    ],
  );
});

Deno.test("decodeConfigSpace() names what enhanced allocation stands for, also beyond the BARs", () => {
  const entry = (bei: number, properties: number) =>
    0x8000_0002 | bei << 4 | properties << 8 | 0xff << 16;
  const { fields } = last(space(256, {
    0x40: 0x0004_0000 | PCI_CAP_ID_EA,
    ...Object.fromEntries(
      [entry(13, 4), entry(8, 0), entry(6, 5), entry(7, 0xfd)]
        .map((head, i) => [0x44 + 12 * i, head]),
    ),
  }));
  assertEquals(
    (fields.entries as { resource: string; properties: string }[])
      .map(({ resource, properties }) => [resource, properties]),
    [
      ["VF-BAR 4", "memory of virtual functions"],
      ["ROM", "memory"],
      ["behind the bridge", "memory behind the bridge"],
      ["not indicated", "memory not to be used"],
    ],
  );
});

Deno.test("decodeConfigSpace() returns a bridge's buses and then its entries of enhanced allocation", () => {
  const { fields } = last(space(256, {
    0x0c: 0x0001_0000,
    0x40: 0x0001_0000 | PCI_CAP_ID_EA,
    0x44: 0x0000_0302,
    0x48: 0x8000_0062,
    0x4c: 0x1000_0000,
  }));
  assertEquals([fields.secondaryBus, fields.subordinateBus], [2, 3]);
  const [only] = fields.entries as { resource: string; base: string }[];
  assertEquals([only!.resource, only!.base], [
    "behind the bridge",
    "0x10000000",
  ]);
});

Deno.test("decodeConfigSpace() distinguishes the kinds of HyperTransport", () => {
  const kind = (command: number, more = {}) =>
    last(space(256, { 0x40: command << 16 | PCI_CAP_ID_HT, ...more })).fields;
  assertEquals(kind(0xa801, { 0x44: 0xfee0_0000, 0x48: 1 }), {
    kind: "MSI mapping",
    enabled: true,
    fixed: false,
    address: "0x1fee00000",
  });
  assertEquals(kind(0xa803).fixed, true);
  assertEquals(kind(0x8823).revision, "1.03");
  assertEquals(kind(0xc000).kind, "retry mode");
  const primary = kind(0x0280, {
    0x44: 0x1011_0020,
    0x4c: 0x0005_0525,
  });
  assertEquals(primary.kind, "slave or primary interface");
  assertEquals(primary.revision, "1.05");
  const { initialized, maxWidthIn, frequency } = primary.link0 as Record<
    string,
    unknown
  >;
  assertEquals([initialized, maxWidthIn, frequency], [true, "16", "800MHz"]);
  assertEquals(kind(0x2000).kind, "host or secondary interface");
});

Deno.test("decodeConfigSpace() decodes PCI-X of a function and of a bridge", () => {
  const words = { 0x40: 0x0032_0000 | PCI_CAP_ID_PCIX, 0x44: 0x0903_0308 };
  const { fields } = last(space(256, words));
  const { relaxedOrdering, maxRead, maxSplits } = fields.command as Record<
    string,
    unknown
  >;
  assertEquals([relaxedOrdering, maxRead, maxSplits], [true, 512, 4]);
  const status = fields.status as Record<string, unknown>;
  assertEquals(status.device, "03:01.0");
  const bridge = last(space(256, { ...words, 0x0c: 0x0001_0000, 0x48: 0x8 }));
  assertEquals(bridge.fields.upstream, { capacity: 8, limit: 0 });
});

Deno.test("decodeConfigSpace() decodes hints, data objects and equalization", () => {
  const hints = last(express({
    0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_TPH,
    0x104: 0x000f_0305,
    0x108: 0x101,
  })).fields;
  assertEquals(hints, {
    modes: { none: true, interruptVector: false, deviceSpecific: true },
    extended: true,
    steeringTable: "in the capability",
    tableSize: 16,
    mode: "interrupt vector",
    requester: "on",
  });
  const objects = last(express({
    0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_DOE,
    0x104: 0x7,
    0x10c: 0x8000_0001,
  })).fields;
  assertEquals([objects.interrupt, objects.interruptMessage], [true, 3]);
  assertEquals(objects.status, {
    busy: true,
    interrupt: false,
    error: false,
    ready: true,
  });
  const secondary = last(express({
    0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_SECPCI,
    0x104: 1,
    0x108: 0b1001,
  })).fields;
  assertEquals(secondary.lanesWithErrors, [0, 3]);
});

Deno.test("decodeConfigSpace() decodes multicast of an endpoint and of a port", () => {
  const words = {
    0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_MCAST,
    0x104: 0x8007_0a3f,
    0x108: 0xfe00_000c,
    0x128: 0xfd00_0006,
  };
  const endpoint = last(express(words)).fields;
  assertEquals(
    [endpoint.maxGroups, endpoint.groups, endpoint.enabled],
    [64, 8, true],
  );
  assertEquals([endpoint.windowSize, endpoint.overlay], [1024, undefined]);
  assertEquals([endpoint.indexPosition, endpoint.base], [
    12,
    "0x00000000fe000000",
  ]);
  const port = last(express({ ...words, 0x40: 0x0040_0010 })).fields;
  assertEquals(port.overlay, { size: 64, base: "0x00000000fd000000" });
});

Deno.test("decodeConfigSpace() decodes the streams of encryption", () => {
  const { fields } = last(express({
    0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_IDE,
    // One link stream, two selective ones.
    0x104: 0x0001_0043,
    0x10c: 0x0100_0001,
    0x110: 0x2,
    // The first has one range of addresses.
    0x114: 0x1,
    0x118: 0x0200_0001,
    0x120: 0x00ff_ff00,
    0x124: 0x0001_0001,
    0x128: 0xfff0_0101,
    0x12c: 0x1,
    // The second has none.
    0x138: 0x0300_0000,
  }));
  assertEquals([fields.links, fields.selective], [1, 2]);
  const [link] = fields.linkStreams as { id: number; state: string }[];
  assertEquals([link!.id, link!.state], [1, "secure"]);
  const [first, second] = fields.selectiveStreams as {
    id: number;
    requesters: unknown;
    addresses: unknown;
  }[];
  assertEquals(first!.requesters, {
    valid: true,
    first: "0x0100",
    last: "0xffff",
    segment: 0,
  });
  assertEquals(first!.addresses, [{
    valid: true,
    start: "0x100000",
    last: "0x1ffffffff",
  }]);
  assertEquals([second!.id, second!.addresses], [3, []]);
});

Deno.test("decodeConfigSpace() decodes the DVSECs of CXL", () => {
  const dvsec = (id: number, more: Readonly<Record<number, number>>) =>
    last(express({
      0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_DVSEC,
      0x104: 0x0381_1e98,
      ...more,
      0x108: id | (more[0x108] ?? 0),
    })).fields;
  const device = dvsec(0, {
    0x108: 0x0016_0000,
    0x10c: 0x4,
    0x118: 0x2,
    0x11c: 0x3,
    0x120: 0x10,
  });
  assertEquals(device.about, "CXL device");
  assertEquals((device.ranges as unknown[])[0], {
    valid: true,
    active: true,
    base: "0x1000000000",
    size: "0x200000000",
  });
  const located = dvsec(8, { 0x10c: 0x0001_0302, 0x110: 0x1 });
  assertEquals((located.blocks as unknown[])[0], {
    about: "CXL device registers",
    bar: 2,
    offset: "0x0000000100010000",
  });
  assertEquals(dvsec(4, { 0x10c: 0x0104_0203 }).phase1, "300us");
  assertEquals(dvsec(4, { 0x10c: 0x0104_0203 }).phase2, "40us");
  assertEquals(dvsec(0x42, {}).about, "CXL 0x0042");
});

Deno.test("decodeConfigSpace() decodes virtual channels of a device with several functions", () => {
  const { name, fields } = last(express({
    0x100: 0x0001_0000 | ext.PCI_EXT_CAP_ID_MFVC,
    0x104: 0x1,
    0x108: 0x1,
    0x114: 0x8000_00ff,
    0x120: 0x0100_0000,
  }));
  assertEquals(name, "Multi-Function Virtual Channel");
  assertEquals(fields.arbitration, ["fixed"]);
  assertEquals(
    (fields.channels as { id: number; enabled: boolean }[])
      .map(({ id, enabled }) => [id, enabled]),
    [[0, true], [1, false]],
  );
});
