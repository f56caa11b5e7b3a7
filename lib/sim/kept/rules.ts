/**
 * Checks what a topology says that processes have changed.
 *
 * @module
 */

import {
  choice,
  list,
  object,
  oneOf,
  record,
  type Rule,
  text,
  wholeNumber,
} from "../../rule.ts";
import type { DiskAccess, DiskEntry, Kept, KeptModule } from "./kept.ts";
import type { VfioNumbers, VirtualNetwork } from "./kept.ts";

const ADDRESS = {
  expected: 'an address such as "0000:01:00.0"',
  pattern: /^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/,
};
/** The name of a device on any bus. */
const DEVICE = {
  expected: "the name of a device",
  pattern: /^[A-Za-z0-9_+-][A-Za-z0-9_.:+-]*$/,
};
const MODULE = {
  expected: "the name of a module",
  pattern: /^[A-Za-z0-9_]+$/,
};
/** Absolute and normalized, in some file systems or in none of them. */
const path = (start: string, without = "") => ({
  expected: "an absolute path",
  pattern: new RegExp(`^(?=${start})${without}(\\/(?!\\.{1,2}(\\/|$))[^/]+)+$`),
});

const number = (most: number) =>
  wholeNumber(`a number from 0 to ${most}`, 0, most);
const small = number(2 ** 20);

const access = {
  uid: number(2 ** 32 - 2),
  gid: number(2 ** 32 - 2),
  mode: number(0o7777),
};

const has = (key: string) => (value: unknown) =>
  typeof value === "object" && value !== null && Object.hasOwn(value, key);

/** Checks what a topology says that processes have changed. */
export const KEPT: Rule<Kept> = object<Kept>("what was kept", {
  nextPid: wholeNumber("a number from 1000 on", 1000, 2 ** 31),
  absent: list("a list of addresses", text(ADDRESS.expected, ADDRESS.pattern)),
  vfio: record(
    "numbers by device",
    DEVICE,
    object<VfioNumbers>("numbers", {
      number: small,
      minor: small,
      group: number(2 ** 31 - 1),
    }, { title: "Numbers", required: ["number", "minor"] }),
  ),
  virtualNetworks: record(
    "settings by address",
    ADDRESS,
    object<VirtualNetwork>("settings", {
      mac: text("12 hexadecimal digits", /^[0-9a-f]{12}$/),
      vlan: number(4095),
      qos: number(7),
    }, { title: "Settings", required: ["mac", "vlan", "qos"] }),
  ),
  modules: record(
    "modules by name",
    MODULE,
    object<KeptModule>("a module", {
      users: list("a list of modules", text(MODULE.expected, MODULE.pattern)),
      driver: text(DEVICE.expected, DEVICE.pattern),
    }, { title: "A module", required: ["users"] }),
  ),
  attributes: record(
    "texts by path",
    path("/sys/"),
    text("a text"),
  ),
  disk: record<DiskEntry>(
    "entries by path",
    path("/", "(?!/(?:dev|proc|sys)(?:/|$))"),
    choice<DiskEntry>(
      "a file, a link or a directory",
      [
        has("target"),
        object("a link", { target: text("a path", /./) }, { title: "A link" }),
      ],
      [
        has("directory"),
        object("a directory", {
          directory: oneOf("true", [true]),
          ...access,
        }, { title: "A directory" }),
      ],
      [
        has("base64"),
        object("a file", {
          base64: text("base64", /^[A-Za-z0-9+/]*={0,2}$/),
          ...access,
        }, { title: "A file" }),
      ],
      [
        has("text"),
        object("a file", { text: text("a text"), ...access }, {
          title: "A file",
        }),
      ],
    ),
  ),
  nodes: record(
    "owners and modes by path",
    path("/dev/"),
    object<Required<DiskAccess>>("an owner and a mode", access, {
      title: "An owner and a mode",
      required: ["uid", "gid", "mode"],
    }),
  ),
}, { title: "What was kept" });
