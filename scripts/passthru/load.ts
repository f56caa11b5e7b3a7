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
  list: () => import("./commands/list.ts"),
  show: () => import("./commands/show.ts"),
  groups: () => import("./commands/groups.ts"),
  doctor: () => import("./commands/doctor.ts"),
  dump: () => import("./commands/dump.ts"),
  completions: () => import("./commands/completions.ts"),
};

/** Commands that can change the host, or need all of it. */
export const CHANGING: Loaders<Host> = {
  bind: () => import("./commands/bind.ts"),
  unbind: () => import("./commands/unbind.ts"),
  vfs: () => import("./commands/vfs.ts"),
  mdev: () => import("./commands/mdev.ts"),
  plan: () => import("./commands/plan.ts"),
  apply: () => import("./commands/apply.ts"),
  restore: () => import("./commands/restore.ts"),
  status: () => import("./commands/status.ts"),
  snapshot: () => import("./commands/snapshot.ts"),
  attach: () => import("./commands/attach.ts"),
  reset: () => import("./commands/reset.ts"),
  qemu: () => import("./commands/qemu.ts"),
};
