/**
 * QEMU's IOMMUs: how a machine gets each, and in what they differ, as far as a
 * test can see it. Everything else is the same behind all of them.
 *
 * @module
 */

/** An IOMMU that a machine can have. */
export type IommuName = "intel" | "intel-first-stage" | "amd" | "virtio";

/** A range of IOVAs, `last` inclusive. */
interface Window {
  readonly start: bigint;
  readonly last: bigint;
  /** The kernel's word for it. */
  readonly type: "msi" | "reserved";
}

/** What an IOMMU is, and what the newest kernel answers behind it. */
export interface EmulatedIommu {
  /** Its name for people. */
  readonly title: string;
  /** QEMU's arguments. It comes before the devices that it translates for. */
  readonly args: readonly string[];
  /** What the kernel is told on its command line. */
  readonly parameters: readonly string[];
  /**
   * Whether it tells the interrupts of devices apart. Behind one that does not,
   * the kernel refuses every device unless it is told to trust them.
   */
  readonly isolatesInterrupts: boolean;
  /** The last IOVA that it translates. */
  readonly last: bigint;
  /** What it does not translate in between. */
  readonly reserved: readonly Window[];
  /** The page sizes below 64 KiB, one bit each. */
  readonly smallPages: bigint;
  /** Whether it forces DMA to be coherent with the processor's caches. */
  readonly forcesCoherency: boolean;
  /** What `IOMMU_GET_HW_INFO` tells: the type, its name, and how many bytes. */
  readonly hardware: {
    readonly type: number;
    readonly kind: "intel-vtd" | "none";
    readonly bytes: number;
  };
  /** What of a page table can be asked for, by flags of `IOMMU_HWPT_ALLOC`. */
  readonly tables: {
    /** One that a fault queue is told of (4). */
    readonly faults: boolean;
    /** Whether a function without page requests is attached to such a one. */
    readonly anyFaults: boolean;
    /** One that can be used with PASIDs (8). */
    readonly pasids: boolean;
  };
  /** What a page table of a guest is refused with, as nothing can nest. */
  readonly nests: "EINVAL" | "EOPNOTSUPP";
  /** Whether tests can wait for what devices behind it do. */
  readonly delivers: boolean;
  /** The line of `/proc/interrupts` that counts its reports of faults. */
  readonly faultLine: RegExp;
}

/** Where devices write their interrupts, on x86. */
const MSI_WINDOW: Window = {
  start: 0xfee0_0000n,
  last: 0xfeef_ffffn,
  type: "msi",
};

const LAST_64 = (1n << 64n) - 1n;

/** Tells the kernel to trust devices whose interrupts nothing tells apart. */
const TRUSTING = [
  "iommufd.allow_unsafe_interrupts=1",
  "vfio_iommu_type1.allow_unsafe_interrupts=1",
];

const INTEL: EmulatedIommu = {
  title: "an Intel IOMMU",
  args: ["-device", "intel-iommu,intremap=on,aw-bits=48"],
  parameters: ["intel_iommu=on"],
  isolatesInterrupts: true,
  last: (1n << 48n) - 1n,
  reserved: [MSI_WINDOW],
  smallPages: 0x1000n,
  forcesCoherency: false,
  hardware: { type: 1, kind: "intel-vtd", bytes: 24 },
  tables: { faults: true, anyFaults: false, pasids: true },
  nests: "EINVAL",
  delivers: true,
  faultLine: /^.*\bdmar0$/m,
};

/** The IOMMUs by name. */
export const IOMMUS: Readonly<Record<IommuName, EmulatedIommu>> = {
  "intel": INTEL,
  // Its page tables are those of the processor, whose addresses have a sign.
  "intel-first-stage": {
    ...INTEL,
    title: "an Intel IOMMU in scalable mode, with first-stage page tables",
    args: [
      "-device",
      "intel-iommu,intremap=on,aw-bits=48,x-scalable-mode=on,x-flts=on",
    ],
    parameters: ["intel_iommu=on,sm_on"],
    last: (1n << 47n) - 1n,
  },
  // Linux remaps interrupts by it only where the bridge to ISA is at 00:14.0,
  // which it never is on QEMU's machine. With QEMU 10 and Linux 7.3 interrupts
  // are lost behind it, the timer's by the I/O APIC too: a disk is not found,
  // and a test of DMA did not end.
  "amd": {
    title: "an AMD IOMMU",
    args: ["-device", "amd-iommu,intremap=off"],
    parameters: [...TRUSTING, "noapic"],
    isolatesInterrupts: false,
    last: LAST_64,
    // The second is HyperTransport's.
    reserved: [MSI_WINDOW, {
      start: 0xfd_0000_0000n,
      last: 0xff_ffff_ffffn,
      type: "reserved",
    }],
    smallPages: 0xf000n,
    forcesCoherency: true,
    // With CONFIG_AMD_IOMMU_IOMMUFD the kernel would tell its registers.
    hardware: { type: 0, kind: "none", bytes: 0 },
    tables: { faults: true, anyFaults: true, pasids: false },
    nests: "EOPNOTSUPP",
    delivers: false,
    faultLine: /^.*\bAMD-Vi\S*$/m,
  },
  "virtio": {
    title: "a virtio IOMMU",
    args: ["-device", "virtio-iommu-pci,addr=1b.0"],
    parameters: TRUSTING,
    isolatesInterrupts: false,
    // QEMU's default on this machine, for the host's own IOMMU may have no more.
    last: (1n << 39n) - 1n,
    reserved: [MSI_WINDOW],
    smallPages: 0xf000n,
    forcesCoherency: false,
    hardware: { type: 0, kind: "none", bytes: 0 },
    tables: { faults: false, anyFaults: false, pasids: false },
    nests: "EOPNOTSUPP",
    delivers: true,
    faultLine: /^.*\bvirtio\d+(?:-event)?$/m,
  },
};

/** The IOVAs that an IOMMU translates, ascending. */
export function translated(
  { last, reserved }: EmulatedIommu,
): { readonly start: bigint; readonly last: bigint }[] {
  const starts = [0n, ...reserved.map((window) => window.last + 1n)];
  const ends = [...reserved.map(({ start }) => start - 1n), last];
  return starts.map((start, i) => ({ start, last: ends[i]! }));
}
