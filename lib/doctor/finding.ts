/**
 * What the doctor finds.
 *
 * @module
 */

/**
 * The result of a check: `"pass"`, nothing is wrong; `"warn"`, something to
 * know or to do, though passthrough works; `"fail"`, passthrough does not work;
 * `"unknown"`, what the check needs is not told.
 */
export type Verdict = "pass" | "warn" | "fail" | "unknown";

/**
 * The name of a check. It does not change across versions.
 *
 * | check | passes when |
 * | --- | --- |
 * | `iommu` | an IOMMU translates |
 * | `iommu-features` | whether the IOMMU logs what devices write, nests, has PASIDs |
 * | `no-iommu-mode` | VFIO refuses devices without an IOMMU |
 * | `group` | the functions are in IOMMU groups |
 * | `group-viable` | their groups are viable once they are taken |
 * | `acs` | no group holds functions of several devices |
 * | `acs-override` | the kernel does not ignore missing ACS |
 * | `direct-mapping` | the firmware keeps no memory mapped for them |
 * | `interrupt-remapping` | a device cannot forge another's interrupts |
 * | `message-interrupts` | the kernel has MSI |
 * | `vfio-driver` | `vfio-pci` is loaded or built in |
 * | `vfio-backend` | the container or iommufd is there |
 * | `boot` | vfio-pci has what it was to have at boot |
 * | `lockdown` | the kernel is not locked down |
 * | `privilege` | this user may take functions from their drivers |
 * | `nodes` | the device nodes are there, and this user may open them |
 * | `memory-limit` | this process may lock the memory that is asked for |
 * | `idle-sleep` | no function sleeps without power |
 * | `answers` | the functions answer |
 * | `bars` | their BARs have addresses, and large ones lie above 4 GiB |
 * | `virtual-bars` | there is room for the BARs of virtual functions |
 * | `virtual-buses` | there are addresses for virtual functions |
 * | `virtual-groups` | virtual functions would be in groups of their own |
 * | `reset` | the functions can be reset |
 * | `accepted` | vfio-pci does not refuse them by their identity |
 * | `host-use` | the host uses neither them nor what goes with them |
 * | `claims` | no frame buffer has claimed a part of a BAR |
 * | `functions` | there is a function that can be handed out |
 * | `known-device` | the functions have no known problems |
 */
export type CheckName =
  | "iommu"
  | "iommu-features"
  | "no-iommu-mode"
  | "group"
  | "group-viable"
  | "acs"
  | "acs-override"
  | "direct-mapping"
  | "interrupt-remapping"
  | "message-interrupts"
  | "vfio-driver"
  | "vfio-backend"
  | "boot"
  | "lockdown"
  | "privilege"
  | "nodes"
  | "memory-limit"
  | "idle-sleep"
  | "answers"
  | "bars"
  | "virtual-bars"
  | "virtual-buses"
  | "virtual-groups"
  | "reset"
  | "accepted"
  | "host-use"
  | "claims"
  | "functions"
  | "known-device";

/** A finding of a check. Plain data, the same as JSON. */
export interface Finding {
  /** The check. */
  readonly check: CheckName;
  /** Its result. */
  readonly verdict: Verdict;
  /** The address of the PCI function; without it, it is about the host. */
  readonly device?: string;
  /** What was found, as a clause. */
  readonly text: string;
  /** What to do about it. */
  readonly remedy?: string;
}

/**
 * What is not told of a host that is known only by hearsay, such as a text that
 * somebody posted.
 */
export interface Untold {
  /** The checks that need it. */
  readonly checks: readonly CheckName[];
  /** What it is, as a clause: `"the IOMMU groups"`. */
  readonly what: string;
  /** The command whose output tells it. */
  readonly command: string;
}

/** The result of all checks. Plain data, the same as JSON. */
export interface Diagnosis {
  /** The functions that were asked for; none for the whole host. */
  readonly functions: readonly string[];
  /** The findings: those about the host first, then those about devices. */
  readonly findings: readonly Finding[];
  /** Whether nothing stops passthrough: no finding is a `"fail"`. */
  readonly fit: boolean;
}

/** A defect of a function, before the function is named. */
export interface Defect {
  /** What is wrong, as a clause. */
  readonly text: string;
  /** What to do about it. */
  readonly remedy?: string;
  /** Whether it stops passthrough. Default: false. */
  readonly stops?: boolean;
}
