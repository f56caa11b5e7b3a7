/**
 * What a host does with a function.
 *
 * @module
 */

/**
 * Which use it is: a file system on it is mounted, swap is on it, a volume on
 * it is active without being mounted or something else claims a disk of it, it
 * carries a default route or the SSH session that this process is part of, the
 * machine booted with it as its display, virtual functions of it are in use, or
 * a process has a device node of it open.
 */
export type UseKind =
  | "mounted"
  | "swap"
  | "volume"
  | "default route"
  | "ssh session"
  | "boot display"
  | "virtual functions"
  | "open";

/** A use that a host makes of a function. */
export interface Use {
  /** Which use it is. */
  readonly kind: UseKind;
  /** The function's address. */
  readonly device: string;
  /** What it is used for, as a clause: "/dev/nvme0n1p1 is mounted at /srv". */
  readonly problem: string;
}

/** A use of something that a function carries. */
export type Finding = Omit<Use, "device">;
