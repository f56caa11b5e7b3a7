/**
 * Checks what people and programs write as a topology.
 *
 * @module
 */

import {
  either,
  type Fields,
  list,
  mismatch,
  object,
  oneOf,
  orNull,
  record,
  type Rule,
  text,
  wholeNumber,
} from "../../rule.ts";
import type {
  DriverRecording,
  InterruptsRecording,
  KernelRecording,
  LinkRecording,
  MediatedRecording,
  SriovRecording,
} from "../../host/snapshot/recording.ts";
import { parseBar } from "../../host/snapshot/bar_text.ts";
import { parseReserved } from "../iommu/iommu.ts";
import { ASK_FOR, type Unknown } from "../posted/unknown.ts";
import { KEPT } from "../kept/rules.ts";
import type { DeviceKind } from "../models/model.ts";
import type {
  DeviceTopology,
  FunctionTopology,
  MediatedTypeTopology,
  Topology,
} from "./topology.ts";
import { assertConsistent } from "./topology_checks.ts";

const ADDRESS = {
  expected: 'an address such as "0000:01:00.0"',
  pattern: /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/,
};
/** Names of drivers, interfaces and types. They become part of a path. */
const NAME = /^[A-Za-z0-9_+-][A-Za-z0-9_.:+-]*$/;
const ID = /^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$/;
const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;
/** Absolute and normalized. */
const FILE = /^(\/(?!\.{1,2}(\/|$))[^/]+)+$/;

const yesNo = oneOf("true or false", [true, false]);
const anyText = text("a text");
const name = text("a name", NAME);
const id = text('a vendor and a device such as "8086:10d3"', ID);
const address = text(ADDRESS.expected, ADDRESS.pattern);
const anything: Rule<never> = {
  schema: {},
  check(_value: unknown): asserts _value is never {},
};
const romContents: Rule<Uint8Array> = {
  schema: {},
  check(value: unknown, at: string): asserts value is Uint8Array {
    if (value instanceof Uint8Array) return;
    throw mismatch(at, "the bytes of a ROM", value);
  },
};
const model: Rule<string | DeviceKind> = {
  schema: { type: "string" },
  check(value: unknown, at: string): asserts value is string | DeviceKind {
    const isKind = typeof value === "object" && value !== null &&
      "create" in value && typeof value.create === "function";
    if (isKind || typeof value === "string") return;
    throw mismatch(at, "a model or the name of one", value);
  },
};
const bar = read(
  'a BAR of a power of two such as "128K", "32 io" or ' +
    '"8G 64bit prefetchable at 0x4000000000"',
  parseBar,
);
const bars = list("a list of BARs", orNull(`${bar.expected}, or null`, bar));
const reserved = read(
  'reserved memory such as "0xe8000 0xe8fff direct"',
  parseReserved,
);

/** Makes a rule for a text that a function reads, or throws for. */
function read(
  expected: string,
  parse: (text: string) => unknown,
): Rule<string> & { readonly expected: string } {
  return {
    expected,
    schema: { type: "string" },
    check(value: unknown, at: string): asserts value is string {
      try {
        if (typeof value === "string") return void parse(value);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
      throw mismatch(at, expected, value);
    },
  };
}

const interrupts = object<InterruptsRecording>("interrupts", {
  intx: yesNo,
  msi: wholeNumber("a number from 0 to 32", 0, 32),
  msix: wholeNumber("a number from 0 to 2048", 0, 2048),
}, { title: "Interrupts" });

const sriov = object<SriovRecording>("virtual functions", {
  total: wholeNumber("a number from 0 to 65535", 0, 0xffff),
  enabled: wholeNumber("a number from 0 to 65535", 0, 0xffff),
  id,
  driver: name,
  autoprobe: yesNo,
  offset: wholeNumber("a number from 0 to 65535", 0, 0xffff),
  stride: wholeNumber("a number from 0 to 65535", 0, 0xffff),
  bars,
}, {
  title: "Virtual functions",
  required: ["total", "id"],
  jointRule: {
    schema: {},
    check({ enabled = 0, offset = 1, stride = 1 }, at) {
      // Otherwise they have the address of the function, or one address.
      if (enabled > 0 && offset === 0) {
        throw mismatch(`${at}.offset`, "1 or more", offset);
      }
      if (enabled > 1 && stride === 0) {
        throw mismatch(`${at}.stride`, "1 or more", stride);
      }
    },
  },
});

const FUNCTION: Fields<FunctionTopology> = {
  id,
  subsystem: id,
  class: wholeNumber("a number of 24 bits", 0, 0xffffff),
  revision: wholeNumber("a number of 8 bits", 0, 0xff),
  driver: orNull("a driver's name or null", name),
  override: text("a name"),
  power: oneOf('"on" or "auto"', ["on", "auto"]),
  behind: address,
  conventional: yesNo,
  acs: yesNo,
  ari: yesNo,
  lastBus: wholeNumber("the number of a bus", 0, 0xff),
  group: orNull(
    "the number of a group or null",
    wholeNumber("the number of a group", 0, 2 ** 31 - 1),
  ),
  reserved: list("a list of reserved regions", reserved),
  numaNode: wholeNumber("the number of a NUMA node", -1, 1023),
  bars,
  rom: bar,
  reset: list("a list of reset methods", name),
  interrupts,
  network: name,
  sriov,
  serial: text(
    'a serial number such as "a0-36-9f-ff-ff-12-34-56"',
    /^[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){7}$/,
  ),
  model,
  romContents,
  config: text(
    "the bytes of config space in hexadecimal, 64 at least",
    /^\s*(?:[0-9a-fA-F]{2}\s*){64,4096}$/,
  ),
  vectors: wholeNumber("a number from 1 to 2048", 1, 2048),
};

const kernel = object<KernelRecording>("a kernel", {
  release: text('a release such as "6.12.0"', /^[0-9]+\.[0-9]+/),
  iommufd: yesNo,
  commandLine: anyText,
  translation: name,
  unsafeNoIommu: yesNo,
  denylist: yesNo,
  mappingLimit: wholeNumber("a number from 0 on", 0, 2 ** 31),
}, { title: "A kernel" });

const driver = object<DriverRecording>("a driver", {
  ids: list(
    "a list of ids",
    text(
      'an id such as "8086:10d3" or "class:010802", or the name of a device',
      NAME,
    ),
  ),
  dma: oneOf('"kernel", "user" or "none"', ["kernel", "user", "none"]),
  virtualFunctions: oneOf('"removed", "kept" or "none"', [
    "removed",
    "kept",
    "none",
  ]),
  bindable: yesNo,
}, { title: "A driver" });

const named = { expected: "a name", pattern: NAME };

const device = object<DeviceTopology>("a device", {
  driver: FUNCTION.driver,
  override: FUNCTION.override,
  group: FUNCTION.group,
  regions: bars,
}, { title: "A device" });

const TOPOLOGY = object<Topology>("an object", {
  version: anything,
  iommu: oneOf('"intel", "amd", "virtio" or "none"', [
    "intel",
    "amd",
    "virtio",
    "none",
  ]),
  dirtyTracking: yesNo,
  firstStage: yesNo,
  kernel,
  functions: record(
    "functions by address",
    ADDRESS,
    object<FunctionTopology>("a function", FUNCTION, { title: "A function" }),
  ),
  devices: record(
    "devices by bus and name",
    {
      expected: 'a bus and a name, such as "platform/fe210000.ethernet"',
      pattern:
        /^(?!(?:pci|mdev)\/)[a-z][a-z0-9_-]*\/[A-Za-z0-9_+-][A-Za-z0-9_.:+-]*$/,
    },
    device,
  ),
  drivers: record(
    "drivers by name",
    {
      expected: "a name, or a bus and a name",
      pattern:
        /^(?:(?!pci\/)[a-z][a-z0-9_-]*\/)?[A-Za-z0-9_+-][A-Za-z0-9_.:+-]*$/,
    },
    either("a driver or false", driver, oneOf("false", [false])),
  ),
  mediatedTypes: record(
    "types by their parent",
    {
      expected: "an address, or a path below /sys/devices/virtual",
      pattern: /^(\/sys\/devices\/virtual(\/[^/]+)+|[0-9a-fA-F:.]+)$/,
    },
    record(
      "types by name",
      named,
      object<MediatedTypeTopology>("a type", {
        instances: wholeNumber("a number from 0 on", 0, 0xffff),
        driver: name,
        model,
      }, { title: "A type", required: ["instances"] }),
    ),
  ),
  mediated: record(
    "mediated devices by UUID",
    { expected: "a UUID", pattern: UUID },
    object<MediatedRecording>("a mediated device", {
      parent: anyText,
      type: name,
    }, { title: "A mediated device", required: ["parent", "type"] }),
  ),
  hugePages: record(
    "huge pages by size",
    { expected: 'a size such as "2M"', pattern: /^[1-9][0-9]{0,6}[KMG]$/ },
    wholeNumber("a number from 0 on", 0, 2 ** 31),
  ),
  files: record(
    "files by path",
    { expected: "an absolute path", pattern: FILE },
    either(
      "a text or a link",
      anyText,
      object<LinkRecording>("a link", {
        link: text("an absolute path", /^\//),
      }, {
        title: "A link",
        required: ["link"],
      }),
    ),
  ),
  unknown: list(
    "a list of what is unknown",
    oneOf("a part of a host", Object.keys(ASK_FOR) as Unknown[]),
  ),
  kept: KEPT,
}, { title: "A topology" });

/**
 * Checks a topology.
 *
 * @param value What was read.
 * @throws {TypeError} When it is none. The message says where.
 */
export function assertTopology(value: unknown): asserts value is Topology {
  const rule: Rule<Topology> = TOPOLOGY;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw mismatch("the recording", "an object", value);
  }
  rule.check(value, "");
  assertConsistent(value as Topology);
}
