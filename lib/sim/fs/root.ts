/**
 * Makes the whole file system of a machine.
 *
 * @module
 */

import { devtmpfs } from "./devtmpfs.ts";
import { makeDisk, textFile } from "./disk.ts";
import type { Directory } from "./file.ts";
import type { Machine } from "../machine/machine.ts";
import type { MediatedTypes } from "../driver/mediated.ts";
import { procfs } from "./procfs.ts";
import { sysfs } from "../sysfs/root.ts";
import type { LinkRecording } from "../../host/snapshot/recording.ts";
import { linkTo, pathTree, readWrite, union } from "./tree.ts";

/**
 * Makes the root directory of a machine.
 *
 * @param machine The machine.
 * @param types The types of mediated devices.
 * @param files Files by path: on its disk, or replacing files of sysfs, procfs
 * and devtmpfs.
 */
export function rootDirectory(
  machine: Machine,
  types: MediatedTypes,
  files: Readonly<Record<string, string | LinkRecording>> = {},
): Directory {
  const entries = Object.entries(files);
  const isView = ([path]: readonly [string, unknown]) =>
    /^\/(?:dev|proc|sys)\//.test(path);
  return union(
    pathTree(
      entries.filter(isView).map(([path, what]) => [
        path,
        typeof what === "string"
          ? TEXT({ text: what }, path)!
          : linkTo(path, what.link),
      ]),
    ),
    makeDisk(
      entries.filter((file) => !isView(file)).map(([path, what]) => [
        path,
        typeof what === "string" ? textFile(what) : linkTo(path, what.link),
      ]),
    ),
    sysfs(machine, types),
    procfs(machine),
    devtmpfs(machine),
  );
}

const TEXT = readWrite<{ text: string }>(
  ({ text }) => text,
  (file, text) => {
    // An attribute is shown as a line.
    file.text = text.endsWith("\n") ? text : `${text}\n`;
  },
);
