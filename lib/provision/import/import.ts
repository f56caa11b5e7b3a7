/**
 * Imports what other tools do with the devices of a host.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import { shortJson } from "../../printable.ts";
import { plan } from "../plan/plan.ts";
import type { Imported } from "./found.ts";

type Reader = (host: Host) => Imported;

/** A tool whose settings can be imported. */
export type ImportSource = "driverctl" | "libvirt" | "modprobe" | "proxmox";

/** Loads what reads the files of a tool. */
const IMPORTS: Readonly<Record<ImportSource, () => Promise<Reader>>> = {
  driverctl: async () => (await import("./driverctl.ts")).importDriverctl,
  libvirt: async () => (await import("./libvirt.ts")).importLibvirt,
  modprobe: async () => (await import("./modprobe.ts")).importModprobe,
  proxmox: async () => (await import("./proxmox.ts")).importProxmox,
};

/** The tools whose settings can be imported. */
export const IMPORT_SOURCES: readonly ImportSource[] = Object.keys(
  IMPORTS,
) as ImportSource[];

/**
 * Reads what another tool does with the devices of a host, and returns a state
 * that does the same, with pins. Nothing is changed.
 *
 * @param host The host.
 * @param source The tool: `"driverctl"`, `"libvirt"`, `"modprobe"` (ids of
 * vfio-pci and pci-stub, on the kernel's command line too) or `"proxmox"`.
 * @returns The state, and what it does not carry over.
 * @throws {TypeError} When there is no such tool.
 * @throws {VfioError} `NOT_SUPPORTED` when the tool has no settings here, or
 * `PERMISSION_DENIED`.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { importState } from "@passthru/vfio/provision";
 * import { simulate } from "@passthru/vfio/sim";
 *
 * const host: Host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3" } },
 *   files: { "/etc/driverctl.d/pci-0000:01:00.0": "vfio-pci\n" },
 * });
 * const { state, notes } = await importState(host, "driverctl");
 * console.log(JSON.stringify(state), notes.length);
 * ```
 */
export async function importState(
  host: Host,
  source: ImportSource,
): Promise<Imported> {
  if (!Object.hasOwn(IMPORTS, source)) {
    throw new TypeError(
      `Cannot import from ${shortJson(source)}: expected one of ${
        IMPORT_SOURCES.join(", ")
      }`,
    );
  }
  const read = await IMPORTS[source]();
  const { state, notes } = read(host);
  return { state, notes: [...notes, ...refusal(host, state)] };
}

/** Why this host cannot be brought to the state, if it cannot. */
function refusal(host: Host, state: Imported["state"]): string[] {
  try {
    plan(host, state);
    return [];
  } catch (error) {
    if (!(error instanceof VfioError)) throw error;
    const { device, problem, hint } = error;
    const subject = device === undefined ? "" : `${device}: `;
    return [
      `the state cannot be applied as it is: ${subject}${problem}` +
      (hint === undefined ? "" : ` (${hint})`),
    ];
  }
}
