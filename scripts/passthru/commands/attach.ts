/**
 * `passthru attach`
 *
 * @module
 */

import { hex } from "../../../lib/hex.ts";
import type { BackendName } from "../../../backends/backend.ts";
import type { FeatureName } from "../../../lib/device/features/feature_name.ts";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import type { DirtySource } from "../../../lib/dma/dirty/tracked_space.ts";
import { VfioError } from "../../../lib/errors.ts";
import type { Host } from "../../../lib/host/host.ts";
import { stepLine } from "../run/applying.ts";
import { type Arguments, EXIT, fromUser } from "../command.ts";
import { counted, sizeText } from "../output/format.ts";
import {
  type IrqJson,
  irqsOf,
  type RegionJson,
  regionsOf,
} from "../output/layout.ts";
import { ended } from "../run/ended.ts";
import { takeForVfio } from "../run/taking.ts";
import { styled, type Terminal, writeJson } from "../terminal/terminal.ts";

/** What the IOMMU behind a device can do. */
interface IommuJson {
  /** Its kind; a number where there is no name for it. */
  readonly kind: string | number;
  readonly dirtyTracking: boolean;
  /** `null` where it does not say. */
  readonly nesting: boolean | null;
  /** How many of them the device has. */
  readonly pasids: number;
  readonly ats: boolean;
  /** What the device is attached to: an IOAS, or a page table that was made. */
  readonly attachedTo: string | null;
}

/** The attached devices, in JSON. */
export interface AttachJson {
  /** The backend. */
  readonly backend: BackendName;
  /** Why it was chosen. */
  readonly reason: string;
  /** The devices. */
  readonly devices: readonly {
    readonly address: string;
    readonly driver: string | null;
    readonly resettable: boolean;
    readonly regions: readonly RegionJson[];
    readonly irqs: readonly IrqJson[];
    readonly features: readonly FeatureName[];
    /** What iommufd tells of its IOMMU; `null` by a container, or without one. */
    readonly iommu: IommuJson | null;
  }[];
  /** Who tells which memory the devices write, and why. */
  readonly dirtyTracking: {
    readonly by: DirtySource;
    readonly reason: string;
  };
  /** The IOVAs that can be mapped, hexadecimal; both ends are inside. */
  readonly dmaRanges: readonly {
    readonly start: string;
    readonly last: string;
  }[];
  /** IOVAs and sizes must be multiples of this. */
  readonly dmaAlignment: number;
  /** How many more mappings the kernel accepts; `null` without a limit. */
  readonly mappingsAvailable: number | null;
  /** Bytes that may be locked; `null` without a limit. */
  readonly memoryLimit: number | null;
}

/** What people call who tells which memory devices write. */
const TELLERS: Readonly<Record<DirtySource, string>> = {
  devices: "the devices",
  hwpt: "the IOMMU's page tables",
  container: "the container",
  nothing: "nobody",
};

/** Holds functions attached, and prints their layout. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const functions = args.operands.map((address) =>
    fromUser(() => host.function(address))
  );
  const backend = (args.value("backend") ?? "auto") as BackendName | "auto";
  const { signal } = terminal;
  await using _ = await fromUser(() =>
    takeForVfio(host, functions, {
      group: args.has("whole-group") ? "all endpoints" : undefined,
      insist: args.values("insist"),
      name: "passthru attach",
      signal,
      onStep: (event) => terminal.progress(stepLine(event)),
    })
  );
  await using space = new AddressSpace({ host, backend });
  const devices = [];
  for (const fn of functions) {
    terminal.progress(`attaching ${fn.address}`);
    devices.push(await VfioDevice.attach(fn, space, { detachOnRequest: true }));
  }
  terminal.progress(undefined);
  const shown = await describe(space, devices);
  if (args.has("json")) writeJson(terminal, shown);
  else terminal.write(layoutText(terminal, shown));
  if (!args.has("no-hold")) {
    if (terminal.isTerminal) terminal.warn("attached until Ctrl-C\n");
    await ended(terminal, devices);
  }
  terminal.progress("detaching");
  return EXIT.DONE;
}

async function describe(
  space: AddressSpace,
  devices: readonly VfioDevice[],
): Promise<AttachJson> {
  const { ranges, alignment, mappingsAvailable, memoryLock } = space.limits();
  const { backend, reason } = space.backend!;
  return {
    backend,
    reason,
    devices: await Promise.all(devices.map(async (device) => ({
      address: device.name,
      driver: device.hostDevice.driver ?? null,
      resettable: device.info.resettable,
      regions: regionsOf(device),
      irqs: irqsOf(device),
      features: (await device.features()).list(),
      iommu: await iommuOf(space, device),
    }))),
    dirtyTracking: await dirtyTracking(space),
    dmaRanges: ranges.map(({ start, last }) => ({
      start: hex(start),
      last: hex(last),
    })),
    dmaAlignment: Number(alignment),
    mappingsAvailable: mappingsAvailable ?? null,
    memoryLimit: memoryLock.limit === undefined
      ? null
      : Number(memoryLock.limit),
  };
}

/** What iommufd tells of the IOMMU behind a device, where it does. */
async function iommuOf(
  space: AddressSpace,
  device: VfioDevice,
): Promise<IommuJson | null> {
  if (space.backend?.backend !== "iommufd") return null;
  const { find } = await space.iommufd();
  const bound = find(device);
  try {
    const { kind, dirtyTracking, nesting, pasids, ats } = bound.hardwareInfo();
    return {
      kind,
      dirtyTracking,
      nesting: nesting ?? null,
      pasids,
      ats,
      attachedTo: bound.attachedTo?.name ?? null,
    };
  } catch (error) {
    // A mediated device has none, nor has one that no IOMMU isolates.
    if (error instanceof VfioError) return null;
    throw error;
  }
}

/** Starts it and stops it, as only the kernel knows whether that goes. */
async function dirtyTracking(
  space: AddressSpace,
): Promise<AttachJson["dirtyTracking"]> {
  const { dirty } = space;
  // A device has no log of nothing.
  using _memory = space.allocate(4096);
  await dirty.start();
  const { by, reason } = dirty;
  await dirty.stop();
  return { by: by!, reason: reason! };
}

function regionText(region: RegionJson): string {
  const { name, size, readable, writable, mappable, kind } = region;
  const access = `${readable ? "r" : "-"}${writable ? "w" : "-"}`;
  const bar = kind === null ? [] : [
    kind === "io" ? "ports" : region.is64bit ? "64 bits" : "32 bits",
    ...(region.prefetchable ? ["prefetchable"] : []),
  ];
  const map = mappable.length === 0
    ? []
    : mappable.length === 1 && mappable[0]!.size === size
    ? ["mappable"]
    : [`mappable: ${
      mappable.map(({ offset, size }) =>
        `${hex(offset)}-${hex(offset + size - 1)}`
      ).join(" ")
    }`];
  return `  ${name.padEnd(10)}${sizeText(size).padEnd(12)}${access}  ` +
    [...bar, ...map].join(", ");
}

function irqText(irq: IrqJson): string {
  const traits = [
    ...(irq.maskable ? ["maskable"] : []),
    ...(irq.automasked ? ["masked when it fires"] : []),
    ...(irq.resizable ? [] : ["vectors fixed once in use"]),
  ];
  return `  ${irq.name.padEnd(10)}${counted(irq.count, "vector").padEnd(12)}` +
    traits.join(", ");
}

function iommuText(iommu: IommuJson): string {
  const { kind, dirtyTracking, nesting, pasids, ats, attachedTo } = iommu;
  const has = (is: boolean, what: string) => is ? what : `no ${what}`;
  const traits = [
    has(dirtyTracking, "dirty tracking"),
    ...(nesting === null ? [] : [has(nesting, "nested page tables")]),
    pasids === 0 ? "no PASIDs" : `${counted(pasids, "PASID")}`,
    has(ats, "ATS"),
  ];
  // Not every driver tells: virtio's does not, nor mostly AMD's.
  const of = kind === "none"
    ? "an IOMMU that does not tell its kind"
    : typeof kind === "number"
    ? `kind ${kind}`
    : kind;
  return `  ${"iommu".padEnd(10)}${attachedTo ?? "detached"} of ${of}: ` +
    traits.join(", ");
}

function layoutText(terminal: Terminal, shown: AttachJson): string {
  const title = (line: string) => styled(terminal, "bold", line);
  return [
    ...shown.devices.flatMap((
      { address, driver, regions, irqs, resettable, features, iommu },
    ) => [
      `${title(address)}  ${driver}, by ${shown.backend}: ${shown.reason}` +
      (resettable ? "" : "; cannot be reset"),
      ...regions.map(regionText),
      ...irqs.map(irqText),
      ...(features.length === 0
        ? []
        : [`  ${"features".padEnd(10)}${features.join(", ")}`]),
      ...(iommu === null ? [] : [iommuText(iommu)]),
    ]),
    title("DMA"),
    ...shown.dmaRanges.map(({ start, last }) => `  ${start} to ${last}`),
    `  in steps of ${sizeText(shown.dmaAlignment)}` +
    (shown.mappingsAvailable === null
      ? ""
      : `, ${counted(shown.mappingsAvailable, "more mapping")}`) +
    (shown.memoryLimit === null
      ? ""
      : `, ${sizeText(shown.memoryLimit)} of locked memory`),
    `  written memory is told by ${TELLERS[shown.dirtyTracking.by]}: ` +
    shown.dirtyTracking.reason,
  ].map((line) => `${line}\n`.replace(/ +\n/, "\n")).join("");
}
