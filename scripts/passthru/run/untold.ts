/**
 * What a simulated host does not tell, when it was made of a posted text.
 *
 * @module
 */

import type { CheckName, Untold } from "../../../lib/doctor/finding.ts";
import type { Host } from "../../../lib/host/host.ts";
import type { SimulatedHost } from "../../../lib/sim/host.ts";
import { ASK_FOR, type Unknown } from "../../../lib/sim/posted/unknown.ts";
import { UsageError } from "../command.ts";

/** The checks that need each part. */
const CHECKS: Readonly<Record<Unknown, readonly CheckName[]>> = {
  iommu: ["iommu"],
  groups: ["group", "group-viable", "acs", "virtual-groups"],
  bridges: ["acs", "reset", "virtual-groups", "virtual-buses"],
  drivers: ["group-viable"],
  capabilities: ["reset", "acs", "virtual-bars", "virtual-buses"],
  bars: ["bars", "virtual-bars", "claims"],
  kernel: ["accepted"],
  commandLine: ["acs-override", "boot", "message-interrupts"],
  interrupts: ["interrupt-remapping"],
  modules: ["vfio-driver", "vfio-backend", "lockdown"],
  uses: ["host-use"],
  rights: ["privilege", "nodes", "memory-limit"],
  claims: ["claims"],
  reserved: ["direct-mapping"],
  state: ["answers", "idle-sleep", "no-iommu-mode", "iommu-features"],
};

/** The parts that a host does not tell; none of a real host. */
export function unknownOf(host: Host): readonly Unknown[] {
  return "machine" in host ? (host as SimulatedHost).machine.unknown : [];
}

/** What a host does not tell, for the doctor. */
export function untoldOf(host: Host): Untold[] {
  return unknownOf(host).map((part) => {
    const [what, command] = ASK_FOR[part];
    return { checks: CHECKS[part], what, command };
  });
}

/** Whether a host tells a part. */
export function isTold(host: Host, part: Unknown): boolean {
  return !unknownOf(host).includes(part);
}

/**
 * Refuses what depends on something that a host does not tell.
 *
 * @param host The host.
 * @param parts The parts.
 * @throws {UsageError} If it lacks one.
 */
export function assertTold(host: Host, parts: readonly Unknown[]): void {
  const missing = unknownOf(host).filter((part) => parts.includes(part));
  if (missing.length === 0) return;
  throw new UsageError(
    `the text does not tell ${
      missing.map((part) => ASK_FOR[part][0]).join(
        ", ",
      )
    }: nothing can be said without that`,
    `ask for: ${missing.map((part) => ASK_FOR[part][1]).join("; ")}`,
  );
}

/** What a plan supposes of a host that does not tell everything. */
export function supposed(host: Host): string | undefined {
  const unknown = unknownOf(host);
  return unknown.length === 0
    ? undefined
    : `the text does not tell ${
      unknown.map((part) => ASK_FOR[part][0]).join("; ")
    }`;
}
