/**
 * Shows the pools of huge pages of the machine and of each NUMA node
 * (`mm/hugetlb.c`, `hugetlb_register_node()`).
 *
 * @module
 */

import type { Directory } from "../fs/file.ts";
import { unsigned } from "./input.ts";
import type { Machine } from "../machine/machine.ts";
import {
  mapDirectory,
  readOnly,
  readWrite,
  type Table,
  tableDirectory,
} from "../fs/tree.ts";

/** Pages of one size, on one node or on all. */
interface Pool {
  readonly shift: number;
  readonly node: number | undefined;
}

/**
 * Makes the directories of the pools, by the size of their pages.
 *
 * @param machine The machine.
 * @param path Their parent directory.
 * @param node The NUMA node. Default: all nodes together.
 */
export function hugePagesDirectory(
  { hugePages }: Machine,
  path: string,
  node?: number,
): Directory {
  const pools = new Map(
    [...hugePages.shifts].map((shift): [string, Pool] => [
      `hugepages-${2 ** (shift - 10)}kB`,
      { shift, node },
    ]),
  );
  const table: Table<Pool> = {
    nr_hugepages: readWrite(
      ({ shift }) => `${hugePages.total(shift, node)}\n`,
      ({ shift }, text) => hugePages.reserve(shift, unsigned(text), node),
    ),
    free_hugepages: readOnly(({ shift }) => `${hugePages.free(shift, node)}\n`),
  };
  return mapDirectory(
    path,
    () => pools,
    (pool, path) => tableDirectory(pool, path, table),
  );
}

/** Makes `/sys/devices/system/node`. */
export function numaNodesDirectory(machine: Machine, path: string): Directory {
  const nodes = new Map(
    Array.from(
      { length: machine.hugePages.nodes },
      (_, node) => [`node${node}`, node],
    ),
  );
  const directories = new Map(
    [...nodes].map(([name, node]) => [
      name,
      new Map([["hugepages", node]]),
    ]),
  );
  return mapDirectory(
    path,
    () => directories,
    (entries, path) =>
      mapDirectory(
        path,
        () => entries,
        (node, path) => hugePagesDirectory(machine, path, node),
      ),
  );
}
