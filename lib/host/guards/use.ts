/**
 * How a host uses a device.
 *
 * @module
 */

/**
 * The kind of a use: a mounted file system, swap, a volume that is active
 * without being mounted or a disk that something else claims, a default route,
 * a network that is reached through it or a bond or bridge that it is part of,
 * the SSH session that this process is part of, the display that the machine
 * booted with, virtual functions that are in use, functions that vanish with
 * it, or a device node that a process has open.
 */
export type UseKind =
  | "mounted"
  | "swap"
  | "volume"
  | "default route"
  | "network"
  | "ssh session"
  | "boot display"
  | "virtual functions"
  | "made functions"
  | "open";

/** A use that a host makes of a device. */
export interface Use {
  /** Which use it is. */
  readonly kind: UseKind;
  /** The device's name; for a PCI function its address. */
  readonly device: string;
  /** What it is used for, as a clause: "/dev/nvme0n1p1 is mounted at /srv". */
  readonly problem: string;
}

/** A use of something that a device carries. */
export type Finding = Omit<Use, "device">;
