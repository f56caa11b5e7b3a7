/**
 * A machine's whole file system.
 *
 * @module
 */

import { devtmpfs } from "./devtmpfs.ts";
import type { Directory } from "./file.ts";
import type { Machine } from "./machine.ts";
import type { MediatedTypes } from "./mediated.ts";
import { procfs } from "./procfs.ts";
import { sysfs } from "./sysfs.ts";
import type { LinkTopology } from "./topology.ts";
import { linkTo, pathTree, readWrite, union } from "./tree.ts";

/**
 * What `/` is.
 *
 * @param machine The machine.
 * @param types The types of mediated devices.
 * @param files Files beside those of sysfs, procfs and devtmpfs, or in place of
 * some, by path.
 */
export function rootDirectory(
  machine: Machine,
  types: MediatedTypes,
  files: Readonly<Record<string, string | LinkTopology>> = {},
): Directory {
  const views = [sysfs(machine, types), procfs(machine), devtmpfs(machine)];
  const given = Object.entries(files);
  return given.length === 0 ? union(...views) : union(
    pathTree(given.map(([path, what]) => [
      path,
      typeof what === "string"
        ? TEXT({ text: what }, path)!
        : linkTo(path, what.link),
    ])),
    ...views,
  );
}

const TEXT = readWrite<{ text: string }>(
  ({ text }) => text,
  (file, text) => {
    file.text = text;
  },
);
