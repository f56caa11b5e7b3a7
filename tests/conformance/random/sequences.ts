/**
 * Random sequences of operations, with arguments from small sets, so that
 * operations interfere with each other.
 *
 * @module
 */
import fc from "fast-check";
import type { At, DeviceAt } from "./device_operations.ts";
import type {
  ArgumentsOf,
  Operation,
  OperationName,
  PageOfMemory,
} from "./operations.ts";
import { FUNCTIONS } from "./world.ts";

type Arbitraries = {
  [N in OperationName]: {
    [P in keyof ArgumentsOf<N>]: fc.Arbitrary<ArgumentsOf<N>[P]>;
  };
};

/** Chooses sensible values three times as often as others. */
function mostly<T>(
  sensible: readonly T[],
  other: readonly T[],
): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...sensible) },
    { weight: 1, arbitrary: fc.constantFrom(...other) },
  );
}

/** Objects as scripts write them. */
const PLAIN = { noNullPrototype: true };

const KINDS = ["devices", "cdevs"] as const;

const at: fc.Arbitrary<At> = mostly([0], [1]);
const of = fc.constantFrom(...FUNCTIONS);
const id = mostly([3, 1, 5], [0, 2, 4, 6]);
const page = mostly<PageOfMemory>([0, 1, 7], [2, "nowhere"]);
const iova = mostly([0x10_0000n, 0x10_1000n], [
  0x10_2000n,
  0n,
  0xfee0_0000n,
  0xfedf_f000n,
  0xffff_ffff_ffff_f000n,
  0x10_0800n,
  1n << 48n,
]);
const size = mostly([0x1000n, 0x1000n, 0x2000n], [
  0x4000n,
  0n,
  0x800n,
  0xffff_ffff_ffff_ffffn,
]);
const flags = mostly([3], [1, 2, 0, 4, 8]);
const access = mostly([6], [2, 4, 0, 8]);
const reasons = fc.constantFrom(1, 2, 3, 0);
const irqIndex = fc.constantFrom(0, 1, 2, 3, 4, 5);
const region = mostly([0, 7], [1, 6, 8, 9]);
const dmaAddress = mostly([0x10_0000, 0x10_1000], [0x10_0fe0, 0x10_1fe0, 0]);

/** Requests of an interrupt: to connect, to disable, to trigger and to mask. */
const irqRequest = mostly<ArgumentsOf<"setIrqs">["request"]>([
  { index: 1, flags: 0x24, start: 0, eventfds: [0] },
  { index: 0, flags: 0x24, start: 0, eventfds: [1] },
  { index: 1, flags: 0x21, start: 0, eventfds: [] },
  { index: 0, flags: 0x21, start: 0, eventfds: [] },
  { index: 0, flags: 0x09, start: 0, eventfds: [0] },
  { index: 0, flags: 0x11, start: 0, eventfds: [0] },
  { index: 4, flags: 0x24, start: 0, eventfds: [0] },
  { index: 4, flags: 0x21, start: 0, eventfds: [0] },
], [
  { index: 1, flags: 0x24, start: 0, eventfds: [99] },
  { index: 0, flags: 0x24, start: 0, eventfds: [-1] },
  { index: 1, flags: 0x24, start: 0, eventfds: [] },
  // Another eventfd than the one that it signals: else a kernel would loop.
  { index: 0, flags: 0x14, start: 0, eventfds: [0] },
  { index: 0, flags: 0x14, start: 0, eventfds: [-1] },
  { index: 3, flags: 0x24, start: 0, eventfds: [0] },
  { index: 2, flags: 0x24, start: 0, eventfds: [0] },
  { index: 1, flags: 0x24, start: 1, eventfds: [0] },
  { index: 1, flags: 0x44, start: 0, eventfds: [0, 1] },
  { index: 5, flags: 0x20, start: 0, eventfds: [] },
  { index: 4, flags: 0x09, start: 0, eventfds: [0] },
]);

/**
 * Questions whether a feature exists, and requests. A function that is let sleep
 * would mask its line at a time of the kernel's.
 */
const FEATURE_FLAGS = [
  ...[0, 1, 3, 4, 5, 6, 9, 10, 11, 12, 99].map((number) => 1 << 18 | number),
  1 << 17 | 5,
  1 << 17 | 0,
  1 << 16 | 5,
  1 << 16 | 1,
  1 << 16 | 11,
  3 << 16 | 5,
  5,
];

/** The arguments of each operation, with the kinds of its device. */
const argumentsOn = (kinds: fc.Arbitrary<DeviceAt["kind"]>): Arbitraries => {
  const device = fc.record({ kind: kinds, at }, PLAIN);
  return {
    openGroup: { at, of },
    closeGroup: { at },
    openContainer: { at },
    closeContainer: { at },
    groupStatus: { group: at },
    setContainer: { group: at, container: at },
    unsetContainer: { group: at },
    setIommu: { container: at, type: mostly([3], [1, 8, 9, 99]) },
    checkExtension: {
      container: at,
      extension: fc.constantFrom(1, 3, 4, 8, 9, 10, 99),
    },
    getDevice: { group: at, of, at },
    mapDma: { container: at, page, iova, size, flags },
    unmapDma: {
      container: at,
      iova,
      size,
      flags: mostly([0], [2, 4, 1, 8]),
    },
    openIommufd: { at },
    closeIommufd: { at },
    allocateIoas: { iommufd: at },
    destroy: { iommufd: at, id },
    mapIoas: { iommufd: at, ioas: id, page, iova, size, access },
    unmapIoas: { iommufd: at, ioas: id, iova, size },
    iovaRanges: { iommufd: at, ioas: id, room: mostly([8], [1, 0]) },
    openCdev: { at, of },
    bind: { cdev: at, iommufd: at },
    attach: { cdev: at, id },
    detach: { cdev: at },
    closeDevice: { kind: kinds, at },
    deviceInfo: { device },
    regionInfo: { device, index: region },
    irqInfo: { device, index: irqIndex },
    readRegion: {
      device,
      region,
      // Without the registers that firmware writes: addresses, and the
      // interrupt line.
      offset: fc.constantFrom(0, 4, 8, 0x24, 0xfc, 0xf_fffc),
      length: fc.constantFrom(4, 1, 2, 8, 0, 3),
    },
    writeRegion: {
      device,
      region,
      offset: fc.constantFrom(4, 4, 0x10, 0x3c, 0, 0x0c),
      bytes: fc.constantFrom(
        [0xff, 0xff, 0xff, 0xff],
        [0x12, 0x34, 0x56, 0x78],
        [0x07],
        [0, 0],
        [],
      ),
    },
    sizeBar: { device, value: fc.constantFrom(0xffff_ffff, 0x1234_5678) },
    setCommand: {
      device,
      command: mostly([0x6], [0x2, 0x406, 0x402, 0]),
    },
    mapRegisters: {
      device,
      offset: mostly([0, 4096], [0x10_0000, 12]),
      size: mostly([4096, 8192], [0x10_0000, 0]),
    },
    unmapRegisters: { of },
    setIrqs: { device, request: irqRequest },
    raise: { device, reasons },
    acknowledge: { device, reasons },
    feature: {
      device,
      flags: fc.constantFrom(...FEATURE_FLAGS),
      bytes: fc.constantFrom(0, 16, 8),
    },
    ioeventfd: {
      device,
      eventfd: mostly<At | -1 | 99>([0, 1], [-1, 99]),
      flags: mostly([4], [1, 2, 8, 3]),
      // The register has no effects: its own could signal the eventfd again.
      offset: mostly([4n], [0xf_fffcn, 0x10_0000n, 7n << 40n]),
      data: fc.constantFrom(0x1234n, 0xffffn),
    },
    signal: { device, eventfd: at },
    signalled: {},
    copy: { device, from: dmaAddress, to: dmaAddress },
    reset: { device },
    override: {
      of,
      driver: fc.constantFrom("vfio-pci", "\n", "nothing", "vfio-pci\n"),
    },
    bindDriver: { of },
    unbindDriver: { of },
    probe: { of },
    locked: {},
  };
};

/** The weight of each operation, where that is not 2. */
const WEIGHTS: { readonly [N in OperationName]?: number } = {
  closeGroup: 1,
  closeContainer: 1,
  closeIommufd: 1,
  closeDevice: 1,
  unsetContainer: 1,
  bind: 4,
  attach: 6,
  getDevice: 6,
  mapDma: 8,
  mapIoas: 8,
  readRegion: 6,
  setContainer: 4,
  setIrqs: 8,
  unmapDma: 4,
  unmapIoas: 4,
  writeRegion: 4,
};

/** Operations of the container, and of groups. */
const OF_CONTAINER: readonly OperationName[] = [
  "openContainer",
  "closeContainer",
  "setContainer",
  "unsetContainer",
  "setIommu",
  "checkExtension",
  "getDevice",
  "mapDma",
  "unmapDma",
];

/** Operations of iommufd, and of devices' own nodes. */
const OF_IOMMUFD: readonly OperationName[] = [
  "openIommufd",
  "closeIommufd",
  "allocateIoas",
  "destroy",
  "mapIoas",
  "unmapIoas",
  "iovaRanges",
  "openCdev",
  "bind",
  "attach",
  "detach",
];

/** The theme of a sequence. */
interface Theme {
  /** Its first operations, so that later ones do not all fail. */
  readonly beginning: readonly Operation[];
  /** The operations that it leaves out. */
  readonly without: readonly OperationName[];
  /** The kind of devices that it mostly uses. */
  readonly kind: DeviceAt["kind"];
}

const CONTAINER: Theme = {
  beginning: [
    ["openGroup", { at: 0, of: "pair0" }],
    ["openContainer", { at: 0 }],
    ["setContainer", { group: 0, container: 0 }],
    ["setIommu", { container: 0, type: 3 }],
    ["getDevice", { group: 0, of: "pair0", at: 0 }],
    ["setCommand", { device: { kind: "devices", at: 0 }, command: 6 }],
  ],
  without: OF_IOMMUFD,
  kind: "devices",
};

const IOMMUFD: Theme = {
  beginning: [
    ["openIommufd", { at: 0 }],
    ["openCdev", { at: 0, of: "pair0" }],
    ["openCdev", { at: 1, of: "pair1" }],
    ["bind", { cdev: 0, iommufd: 0 }],
    ["bind", { cdev: 1, iommufd: 0 }],
    ["allocateIoas", { iommufd: 0 }],
    ["attach", { cdev: 0, id: 3 }],
    ["setCommand", { device: { kind: "cdevs", at: 0 }, command: 6 }],
  ],
  without: OF_CONTAINER,
  kind: "cdevs",
};

const THEMES: readonly Theme[] = [
  CONTAINER,
  IOMMUFD,
  // The files are open, and unused.
  { ...CONTAINER, beginning: CONTAINER.beginning.slice(0, 2) },
  { ...IOMMUFD, beginning: IOMMUFD.beginning.slice(0, 2) },
  // All operations of both kinds.
  { ...CONTAINER, without: [] },
  { ...IOMMUFD, without: [] },
];

/**
 * Sequences of 20 to 60 operations.
 *
 * @param iommufd Whether the kernel has iommufd.
 */
export function sequences(iommufd: boolean): fc.Arbitrary<Operation[]> {
  const themes = iommufd
    ? THEMES
    : THEMES.filter(({ without }) => without === OF_IOMMUFD);
  return fc.oneof(...themes.map(sequencesAbout));
}

function sequencesAbout(
  { beginning, without, kind }: Theme,
): fc.Arbitrary<Operation[]> {
  const args = argumentsOn(
    without.length === 0 ? mostly([kind], KINDS) : fc.constant(kind),
  );
  const names = (Object.keys(args) as OperationName[])
    .filter((name) => !without.includes(name));
  const operation = fc.oneof(
    ...names.map((name) => ({
      weight: WEIGHTS[name] ?? 2,
      arbitrary: fc
        .record(args[name] as Record<string, fc.Arbitrary<unknown>>, PLAIN)
        .map((args) => [name, args] as unknown as Operation),
    })),
  );
  return fc.array(operation, { minLength: 20, maxLength: 52 })
    .map((rest) => [...beginning, ...rest]);
}
