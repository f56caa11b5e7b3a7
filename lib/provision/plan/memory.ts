/**
 * Plans huge pages and limits of locked memory.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import type { Host } from "../../host/host.ts";
import { exists, ifPresent, namesIn } from "../../host/sysfs.ts";
import { idOf } from "../steps/accounts.ts";
import type { HugePagesState } from "../state/state.ts";
import type { AttributeStep, FileStep } from "../steps/step.ts";

const POOLS = "/sys/kernel/mm/hugepages";
const NODES = "/sys/devices/system/node";
const LIMITS = "/etc/security/limits.d";
/** The units of sizes, in KiB. */
const UNITS: Readonly<Record<string, number>> = {
  K: 1,
  M: 2 ** 10,
  G: 2 ** 20,
  T: 2 ** 30,
};

/**
 * Plans the changes of reserved huge pages.
 *
 * @param host The host.
 * @param states The huge pages of the state.
 * @throws {TypeError} When a pool is given twice, or a size both by node and
 * for all nodes together.
 * @throws {VfioError} `NOT_SUPPORTED` when the host has no pages of that size,
 * or no such node.
 */
export function hugePageSteps(
  { kernel }: Host,
  states: readonly HugePagesState[],
): AttributeStep[] {
  const seen = new Map<string, string>();
  const noteFirst = (pool: string, at: string) => {
    if (!seen.has(pool)) seen.set(pool, at);
  };
  return states.flatMap(({ size, count, numaNode }, i) => {
    const at = `hugePages[${i}]`;
    const pool = `hugepages-${kibibytes(size)}kB`;
    const nodePool = `${pool} ${numaNode ?? ""}`;
    const clash = numaNode === undefined
      ? seen.get(pool)
      : seen.get(nodePool) ?? seen.get(`${pool} `);
    if (clash !== undefined) {
      throw new TypeError(
        `${clash} and ${at} are about the same huge pages of ${size}`,
      );
    }
    noteFirst(pool, at);
    noteFirst(nodePool, at);
    const base = numaNode === undefined
      ? POOLS
      : `${NODES}/node${numaNode}/hugepages`;
    const path = `${base}/${pool}/nr_hugepages`;
    const now = ifPresent(() => kernel.readFile(path))?.trim();
    if (now === undefined) {
      throw new VfioError("NOT_SUPPORTED", {
        problem: exists(kernel, base)
          ? `this machine has no huge pages of ${size} (${at})`
          : `there is no ${base} (${at})`,
        hint: exists(kernel, base)
          ? `it has ${namesIn(kernel, base).join(", ")}`
          : numaNode === undefined
          ? "the kernel was built without huge pages"
          : `there are ${
            namesIn(kernel, NODES).filter((name) => /^node\d+$/.test(name))
              .join(", ") || "no NUMA nodes"
          }`,
      });
    }
    if (Number(now) === count) return [];
    const onNode = numaNode === undefined ? "" : ` on node ${numaNode}`;
    return [{
      kind: "attribute",
      path,
      value: String(count),
      why: `${now} pages of ${size} are reserved${onNode}`,
    }];
  });
}

/**
 * Plans the files that say how much memory users may lock (`limits.conf(5)`: in
 * KiB, for the soft and the hard limit).
 *
 * @param host The host.
 * @param limits The limits of the state, by user.
 * @throws {VfioError} `NOT_SUPPORTED` when there is no such user.
 */
export function memoryLimitSteps(
  { kernel }: Host,
  limits: Readonly<Record<string, string>>,
): FileStep[] {
  return Object.entries(limits).flatMap(([user, size]) => {
    const uid = idOf(kernel, "user", user, `memoryLimit["${user}"]`);
    // In this file, a user by id is written as a range with only an end.
    const domain = /^\d+$/.test(user) ? `:${uid}` : user;
    const limit = size === "unlimited" ? size : String(kibibytes(size));
    const path = `${LIMITS}/90-passthru-${user}.conf`;
    const text = `# How much memory may be locked, for DMA.\n` +
      `${domain} - memlock ${limit}\n`;
    const now = ifPresent(() => kernel.readFile(path));
    if (now === text) return [];
    return [{
      kind: "file",
      path,
      text,
      why: `user ${user} may lock ${size === "unlimited" ? "all" : size}` +
        (now === undefined ? "" : ", and it says otherwise"),
    }];
  });
}

function kibibytes(size: string): number {
  return Number(size.slice(0, -1)) * UNITS[size.slice(-1)]!;
}
