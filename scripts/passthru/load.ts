/**
 * The implementations of the commands, each loaded when it runs.
 *
 * @module
 */

import type { Run } from "./command.ts";

/** Loads the implementation of each command. */
export const LOADERS: Readonly<Record<string, () => Promise<{ run: Run }>>> = {
  list: () => import("./commands/list.ts"),
  show: () => import("./commands/show.ts"),
  groups: () => import("./commands/groups.ts"),
  doctor: () => import("./commands/doctor.ts"),
  dump: () => import("./commands/dump.ts"),
  completions: () => import("./commands/completions.ts"),
  bind: () => import("./commands/bind.ts"),
  unbind: () => import("./commands/unbind.ts"),
  vfs: () => import("./commands/vfs.ts"),
  mdev: () => import("./commands/mdev.ts"),
  plan: () => import("./commands/plan.ts"),
  apply: () => import("./commands/apply.ts"),
  restore: () => import("./commands/restore.ts"),
  status: () => import("./commands/status.ts"),
  log: () => import("./commands/log.ts"),
  report: () => import("./commands/report.ts"),
  snapshot: () => import("./commands/snapshot.ts"),
  attach: () => import("./commands/attach.ts"),
  events: () => import("./commands/events.ts"),
  reset: () => import("./commands/reset.ts"),
  migrate: () => import("./commands/migrate.ts"),
  qemu: () => import("./commands/qemu.ts"),
  import: () => import("./commands/import.ts"),
  emit: () => import("./commands/emit.ts"),
};
