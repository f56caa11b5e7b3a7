/**
 * What the network interfaces of a function are used for.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { namesIn } from "../sysfs.ts";
import type { Routes } from "./routes.ts";
import type { SshSession } from "./ssh.ts";
import type { Finding } from "./use.ts";

/**
 * What network interfaces are used for, also as part of bonds, bridges, teams,
 * VLANs and the like. One that carries nothing and is part of nothing is unused.
 *
 * @param kernel The system.
 * @param routes Its routes.
 * @param sessions The SSH sessions that this process is part of.
 * @param names The interfaces.
 */
export function networkUses(
  kernel: Kernel,
  routes: Routes,
  sessions: readonly SshSession[],
  names: readonly string[],
): Finding[] {
  return names.flatMap((name) => {
    const labels = upwards(kernel, name);
    const found: Finding[] = [];
    for (const { family, name } of routes.defaults) {
      if (!labels.has(name)) continue;
      found.push({
        kind: "default route",
        problem: `the ${family} default route is through ${labels.get(name)}`,
      });
    }
    for (const { client, server } of sessions) {
      for (const name of routes.interfacesWith(server)) {
        if (!labels.has(name)) continue;
        found.push({
          kind: "ssh session",
          problem: `the SSH session from ${client} is through ` +
            labels.get(name),
        });
      }
    }
    // Those say enough of an interface.
    return found.length > 0 ? found : carried(routes, name, labels);
  });
}

/** The networks that an interface carries, and what it is a part of. */
function carried(
  routes: Routes,
  name: string,
  labels: ReadonlyMap<string, string>,
): Finding[] {
  const networks = [...labels].flatMap(([name, label]) =>
    routes.networksThrough(name)
      .map((network) => `${network} is through ${label}`)
  );
  const uppers = [...labels.keys()].filter((upper) => upper !== name)
    .map((upper) => `${upper} is on ${name}`);
  return (networks.length > 0 ? networks : uppers)
    .map((problem) => ({ kind: "network", problem }));
}

/** An interface and everything above it, each with the interface below. */
function upwards(kernel: Kernel, name: string): Map<string, string> {
  const labels = new Map([[name, name]]);
  for (const [lower, label] of labels) {
    // __netdev_adjacent_dev_insert() in net/core/dev.c
    for (const link of namesIn(kernel, `/sys/class/net/${lower}`)) {
      const [, upper] = /^upper_(.+)$/.exec(link) ?? [];
      if (upper === undefined || labels.has(upper)) continue;
      labels.set(upper, `${upper} on ${label}`);
    }
  }
  return labels;
}
