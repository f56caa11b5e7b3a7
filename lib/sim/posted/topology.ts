/**
 * Makes a topology of what people post when they ask for help.
 *
 * @module
 */

import { parsePostedConfigs } from "../../pci/config/lspci_text.ts";
import { losesRemappedInterrupts } from "../../host/iommu/chipsets.ts";
import { isOnDenylist } from "../../host/driver/denylist.ts";
import type { FunctionTopology, Topology } from "../machine/topology.ts";
import { assertTopology } from "../machine/topology_rules.ts";
import {
  parseCommandLine,
  parseGroups,
  parseInterrupts,
  parseMemory,
  parseRelease,
  parseTree,
} from "./listings.ts";
import { parseLspci, type PostedFunction } from "./lspci.ts";
import { parsePvesh } from "./pvesh.ts";
import type { Unknown } from "./unknown.ts";
import { parseAddress } from "../pci/address.ts";
import { virtualAddress } from "../pci/sriov.ts";

/**
 * Makes a topology of a posted text: `lspci -nnk`, with `-vvv`, `-t`, a listing
 * of IOMMU groups, the kernel's command line, release and log, `/proc/iomem` and
 * `/proc/interrupts` where the text has them; or Proxmox VE's table of functions. What it does not tell is listed
 * in {@linkcode Topology.unknown}.
 *
 * @param text The text.
 * @throws {TypeError} When it has no function with its ids.
 *
 * @example
 * ```ts
 * import { simulate, topologyFromText } from "@passthru/vfio/sim";
 *
 * const host = simulate(topologyFromText(
 *   "01:00.0 Ethernet controller [0200]: Intel Corporation 82574L [8086:10d3]\n" +
 *     "\tKernel driver in use: e1000e\n",
 * ));
 * console.log(host.function("01:00.0").driver); // e1000e
 * ```
 */
export function topologyFromText(text: string): Topology {
  // What lspci tells is more.
  const posted = new Map([...parsePvesh(text), ...parseLspci(text)]);
  if (posted.size === 0) {
    throw new TypeError(
      "expected JSON, or a text of lspci -nnk: a line with an address and ids " +
        "for each function, such as 01:00.0 … [0200]: … [8086:10d3]",
    );
  }
  const groups = parseGroups(text);
  for (const fn of posted.values()) {
    const group = fn.group ?? groups.get(fn.address);
    if (group !== undefined) fn.group = group;
  }
  const functions = [...posted.values()];
  const configs = new Map(
    parsePostedConfigs(text).filter(({ bytes }) => bytes.length >= 64)
      .map(({ address, bytes }) => [address, bytes.toHex()]),
  );
  const grouped = functions.some(({ group }) => group !== undefined);
  const above = bridgesAbove(functions, parseTree(text));
  const virtual = virtualOf(functions);
  const commandLine = parseCommandLine(text);
  const release = parseRelease(text);
  const memory = parseMemory(text);
  const interrupts = parseInterrupts(text) ?? interruptsOf(functions);
  const files = {
    ...memory !== undefined && { "/proc/iomem": memory },
    ...interrupts !== undefined && { "/proc/interrupts": interrupts },
  };
  const facts = { commandLine, release, memory, interrupts };
  const topology: Topology = {
    version: 1,
    iommu: grouped ? makerOf(functions) : "none",
    kernel: {
      ...release !== undefined && { release },
      commandLine: commandLine ?? "",
      denylist: !isDenylistOff(functions),
    },
    functions: Object.fromEntries(
      functions.map((fn) => [
        fn.address,
        {
          ...virtual.has(fn.address) ? ofVirtual(fn) : {
            ...describe(fn, above, posted),
            ...configs.has(fn.address) &&
              { config: configs.get(fn.address)! },
          },
          ...grouped && { group: fn.group ?? null },
        },
      ]),
    ),
    files,
    unknown: unknownOf(functions, above, facts),
  };
  return possible(topology);
}

/**
 * Leaves out BARs that contradict each other, as those of a text can that was
 * put together from several.
 */
function possible(topology: Topology): Topology {
  try {
    assertTopology(topology);
    return topology;
  } catch {
    const functions = Object.entries(topology.functions ?? {})
      .map(([address, { bars: _, ...rest }]) => [address, rest]);
    return {
      ...topology,
      functions: Object.fromEntries(functions),
      unknown: [...new Set([...topology.unknown!, "bars" as const])],
    };
  }
}

/** What `/proc/interrupts` has where an erratum tells it. */
function interruptsOf(
  functions: readonly PostedFunction[],
): string | undefined {
  const broken = functions.some(({ id = "", revision = 0 }) => {
    const [vendor = 0, device = 0] = id.split(":").map((each) =>
      parseInt(each, 16)
    );
    return losesRemappedInterrupts({ vendor, device, revision });
  });
  return broken ? " 0:  0  IO-APIC  2-edge  timer\n" : undefined;
}

/** Whether the text shows that vfio-pci has what is on its denylist. */
function isDenylistOff(functions: readonly PostedFunction[]): boolean {
  return functions.some(({ driver, id = "" }) => {
    const [vendor = 0, device = 0] = id.split(":").map((each) =>
      parseInt(each, 16)
    );
    return driver === "vfio-pci" && isOnDenylist(vendor, device, "7.0.0");
  });
}

/** The maker of the IOMMU, from those of the chip set's bridges. */
function makerOf(functions: readonly PostedFunction[]): "intel" | "amd" {
  const bridges = functions.filter(({ class: code = 0 }) => code >> 16 === 6);
  const host = bridges.find(({ class: code = 0 }) => code >> 8 === 0x0600);
  const isAmd = ({ id }: PostedFunction) => id?.startsWith("1022:") ?? false;
  return (host === undefined ? bridges.some(isAmd) : isAmd(host))
    ? "amd"
    : "intel";
}

/** The bridge above each bus, from the tree or from what bridges say. */
function bridgesAbove(
  functions: readonly PostedFunction[],
  tree: ReadonlyMap<string, string>,
): Map<string, string> {
  const above = new Map(tree);
  for (const { address, buses } of functions) {
    if (buses === undefined) continue;
    const domain = address.slice(0, address.indexOf(":"));
    const bus = buses[0].toString(16).padStart(2, "0");
    above.set(`${domain}:${bus}`, address);
  }
  return above;
}

const busOf = (address: string) => address.split(":").slice(0, 2).join(":");

/** The addresses of virtual functions, whose physical functions tell them. */
function virtualOf(functions: readonly PostedFunction[]): Set<string> {
  const found = new Set<string>();
  for (const { address, sriov } of functions) {
    for (let i = 0; i < (sriov?.enabled ?? 0); i++) {
      found.add(virtualAddress(parseAddress(address), sriov!, i));
    }
  }
  return found;
}

function ofVirtual({ driver }: PostedFunction): FunctionTopology {
  return { ...driver !== undefined && { driver } };
}

function describe(
  fn: PostedFunction,
  above: ReadonlyMap<string, string>,
  posted: ReadonlyMap<string, PostedFunction>,
): FunctionTopology {
  const { id, class: code = 0xff0000, readable = false, capabilities } = fn;
  const behind = above.get(busOf(fn.address));
  const bridge = code >> 8 === 0x0604;
  const has = (name: RegExp) => capabilities.some((each) => name.test(each));
  const { interrupts, sriov } = fn;
  return {
    id: id!,
    class: code,
    ...fn.revision !== undefined && { revision: fn.revision },
    ...fn.subsystem !== undefined && { subsystem: fn.subsystem },
    ...fn.driver !== undefined && { driver: fn.driver },
    ...fn.numaNode !== undefined && { numaNode: fn.numaNode },
    ...behind !== undefined && isBridge(posted.get(behind)) && { behind },
    ...readable && { acs: has(/^Access Control Services/) },
    ...readable && {
      conventional: !has(/^Express\b/),
      interrupts,
      ...!bridge && { reset: resetsOf(fn) },
    },
    ...fn.bars !== undefined && validBars(fn.bars) && { bars: fn.bars },
    ...fn.buses !== undefined && { lastBus: fn.buses[1] },
    ...sriov !== undefined && {
      sriov: {
        total: sriov.total,
        enabled: sriov.enabled,
        offset: sriov.offset,
        stride: sriov.stride,
        id: `${id!.slice(0, 4)}:${sriov.device}`,
      },
    },
  };
}

function isBridge(fn: PostedFunction | undefined): boolean {
  return fn === undefined || (fn.class ?? 0) >> 8 === 0x0604;
}

/** The kernel's methods, as far as capabilities tell them. */
function resetsOf(
  { functionLevelReset = false, capabilities }: PostedFunction,
): string[] {
  const af = capabilities.some((name) => /^PCI Advanced Features/.test(name));
  return functionLevelReset ? [af ? "af_flr" : "flr"] : [];
}

/** Whether no BAR is where the upper half of another is. */
function validBars(bars: readonly (string | null)[]): boolean {
  return bars.length <= 6 &&
    bars.every((bar, i) =>
      !bar?.includes("64bit") || i < 5 && (bars[i + 1] ?? null) === null
    );
}

function unknownOf(
  functions: readonly PostedFunction[],
  above: ReadonlyMap<string, string>,
  facts: Readonly<Record<string, string | undefined>>,
): Unknown[] {
  const endpoints = functions.filter(({ class: code = 0 }) =>
    code >> 16 !== 0x06
  );
  const grouped = functions.some(({ group }) => group !== undefined);
  const every = (told: (fn: PostedFunction) => boolean) =>
    (endpoints.length > 0 ? endpoints : functions).every(told);
  const lone = endpoints.some(({ address }) =>
    !busOf(address).endsWith(":00") && !above.has(busOf(address))
  );
  const unknown: (readonly [Unknown, boolean])[] = [
    ["iommu", !grouped],
    ["groups", !grouped || !every(({ group }) => group !== undefined)],
    ["bridges", lone],
    ["drivers", !functions.some(({ driver }) => typeof driver === "string")],
    ["capabilities", !every(({ readable = false }) => readable)],
    ["bars", !endpoints.some(({ bars }) => bars !== undefined)],
    ["kernel", facts.release === undefined],
    ["commandLine", facts.commandLine === undefined],
    ["interrupts", facts.interrupts === undefined],
    ["modules", !functions.some(({ driver }) => driver?.includes("vfio"))],
    ["uses", true],
    ["rights", true],
    ["claims", facts.memory === undefined],
    ["reserved", true],
    ["state", true],
  ];
  return unknown.flatMap(([part, is]) => is ? [part] : []);
}
