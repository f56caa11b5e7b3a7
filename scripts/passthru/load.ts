/**
 * The commands: what runs each, loaded when it does.
 *
 * @module
 */

import type { Host } from "../../lib/host/host.ts";
import type { Inventory } from "../../lib/host/inventory.ts";
import type { Run } from "./command.ts";

/** Loads what runs a command. */
type Loaders<H extends Inventory> = Readonly<
  Record<string, () => Promise<{ run: Run<H> }>>
>;

/** Commands that only look at the host: they start without the rest. */
export const LOOKING: Loaders<Inventory> = {
  list: () => import("./list.ts"),
  show: () => import("./show.ts"),
  groups: () => import("./groups.ts"),
  doctor: () => import("./doctor.ts"),
  dump: () => import("./dump.ts"),
  completions: () => import("./completions.ts"),
};

/** Commands that can change the host, or need all of it. */
export const CHANGING: Loaders<Host> = {
  bind: () => import("./bind.ts"),
  unbind: () => import("./unbind.ts"),
  vfs: () => import("./vfs.ts"),
  mdev: () => import("./mdev.ts"),
  plan: () => import("./plan.ts"),
  apply: () => import("./apply.ts"),
  restore: () => import("./restore.ts"),
  status: () => import("./status.ts"),
  snapshot: () => import("./snapshot.ts"),
  attach: () => import("./attach.ts"),
  reset: () => import("./reset.ts"),
  qemu: () => import("./qemu_command.ts"),
};
