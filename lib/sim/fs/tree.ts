/**
 * The building blocks of sysfs, procfs and devtmpfs: directories whose entries
 * are made when they are read.
 *
 * @module
 */

import type { FileStatus } from "../../kernel/kernel.ts";
import { O_ACCMODE, O_RDONLY, O_WRONLY } from "../../uapi/linux/fcntl.ts";
import type { Blocking } from "../process/blocking.ts";
import type {
  Directory,
  FileNode,
  Link,
  Node,
  Ownership,
  Process,
} from "./file.ts";
import { changeStatus, statusOf } from "./ownership.ts";
import { refuse } from "../process/refusal.ts";
import { type TextAccess, TextFile } from "./text_file.ts";

const S_IFREG = 0o100000;

/** One entry of a directory. */
export interface Entry<T> {
  /** Makes it, or returns `undefined` if the subject does not have it. */
  (subject: T, path: string): Node | undefined;
  /** Whether the subject has it, if that is known without making it. */
  isIn?(subject: T): boolean;
}

/** The entries that all directories of one kind have, by name. */
export type Table<T> = Readonly<Record<string, Entry<T>>>;

/** Returns the text of an attribute of a subject. */
export type Show<T> = (subject: T) => string;

/** Does what a write to an attribute of a subject does. */
export type Store<T> = (
  subject: T,
  text: string,
  process: Process,
) => Blocking<void>;

/**
 * Makes a directory of a subject.
 *
 * @param subject The subject.
 * @param path Its path.
 * @param table Its entries.
 */
export function tableDirectory<T>(
  subject: T,
  path: string,
  table: Table<T>,
): Directory {
  const lookup = (name: string) =>
    Object.hasOwn(table, name)
      ? table[name]!(subject, `${path}/${name}`)
      : undefined;
  const isIn = (name: string) =>
    table[name]!.isIn?.(subject) ?? lookup(name) !== undefined;
  return {
    kind: "directory",
    names: () => Object.keys(table).filter(isIn),
    lookup,
  };
}

/** The contents of a directory: a map, or an object with the same methods. */
export interface Keyed<V> {
  /** Returns the names. */
  keys(): Iterable<string>;
  /** Returns the value of a name. */
  get(name: string): V | undefined;
}

/** Makes contents of one value by its name; empty for `undefined`. */
export function only<V>(name: string, value: V | undefined): Keyed<V> {
  return {
    keys: () => value === undefined ? [] : [name],
    get: (wanted) => wanted === name ? value : undefined,
  };
}

/**
 * Makes a directory with an entry for each key of a map.
 *
 * @param path Its path.
 * @param map Returns the present contents.
 * @param entry Makes an entry.
 */
export function mapDirectory<V>(
  path: string,
  map: () => Keyed<V>,
  entry: Entry<V>,
): Directory {
  return {
    kind: "directory",
    names: () => map().keys(),
    lookup(name) {
      const value = map().get(name);
      return value === undefined ? undefined : entry(value, `${path}/${name}`);
    },
  };
}

/**
 * Merges directories. Where several have a name, the first one's entry counts.
 */
export function union(...parts: readonly Directory[]): Directory {
  const first = <K extends keyof Directory>(key: K) =>
    parts.find((part) => part[key] !== undefined)?.[key];
  return {
    kind: "directory",
    get status() {
      return first("status");
    },
    get entries() {
      return first("entries");
    },
    names: (process) =>
      new Set(parts.flatMap((part) => [...part.names(process)])),
    lookup(name, process) {
      let found: Directory | undefined;
      let others: Directory[] | undefined;
      for (const part of parts) {
        const node = part.lookup(name, process);
        if (node === undefined) continue;
        if (found === undefined) {
          if (node.kind !== "directory") return node;
          found = node;
        } else if (node.kind === "directory") (others ??= [found]).push(node);
      }
      return others === undefined ? found : union(...others);
    },
  };
}

/**
 * Makes a directory of nodes by path, with the directories on the way.
 *
 * @param nodes Nodes by path: `"/class/vfio"`.
 */
export function pathTree(nodes: Iterable<readonly [string, Node]>): Directory {
  const all = new Map<string, Node>();
  const below = new Map<string, [string, Node][]>();
  for (const [path, node] of nodes) {
    const slash = path.indexOf("/", 1);
    if (slash < 0) {
      all.set(path.slice(1), node);
      continue;
    }
    const name = path.slice(1, slash);
    const others = below.get(name);
    const rest: [string, Node] = [path.slice(slash), node];
    if (others === undefined) below.set(name, [rest]);
    else others.push(rest);
  }
  for (const [name, nodes] of below) {
    const node = all.get(name);
    const tree = pathTree(nodes);
    all.set(name, node?.kind === "directory" ? union(node, tree) : tree);
  }
  return {
    kind: "directory",
    names: () => all.keys(),
    lookup: (name) => all.get(name),
  };
}

/** Makes a directory of links, by name. */
export function linksDirectory(
  path: string,
  targets: () => Keyed<string>,
): Directory {
  return mapDirectory(path, targets, (target, path) => linkTo(path, target));
}

/** Makes an entry that is a directory of the same subject. */
export function nested<T>(table: Table<T>): Entry<T> {
  return (subject, path) => tableDirectory(subject, path, table);
}

/** Makes an entry conditional. */
export function onlyWhere<T>(
  present: (subject: T) => boolean,
  entry: Entry<T>,
): Entry<T> {
  return Object.assign<Entry<T>, Partial<Entry<T>>>(
    (subject, path) => present(subject) ? entry(subject, path) : undefined,
    entry.isIn === undefined
      ? {}
      : { isIn: (subject) => present(subject) && entry.isIn!(subject) },
  );
}

/**
 * Makes an entry that is a link, as sysfs writes it (`fs/kernfs/symlink.c`).
 *
 * @param target Returns the absolute path it leads to, or `undefined` for no
 * link.
 */
export function link<T>(
  target: (subject: T) => string | undefined,
): Entry<T> {
  const entry: Entry<T> = (subject, path) => {
    const to = target(subject);
    return to === undefined ? undefined : linkTo(path, to);
  };
  entry.isIn = (subject) => target(subject) !== undefined;
  return entry;
}

/** Makes a link at `path` to `target`, as sysfs writes it. */
export function linkTo(path: string, target: string): Link {
  // The end of the directories that both are in. The target's own name is
  // always written out.
  let shared = 0;
  for (let i = 0; path[i] === target[i] && i < path.length; i++) {
    if (path[i] === "/") shared = i + 1;
  }
  let up = "";
  for (let i = shared; i < path.length; i++) {
    if (path[i] === "/") up += "../";
  }
  return { kind: "link", target: up + target.slice(shared) };
}

/** Makes an attribute that can only be read. */
export function readOnly<T extends object>(
  show: Show<T>,
  mode = 0o444,
): Entry<T> {
  return always((subject, path) =>
    attribute(subject, path, mode, () => ({ show: () => show(subject) }))
  );
}

/** Makes an attribute that can be read and written. */
export function readWrite<T extends object>(
  show: Show<T>,
  store: Store<T>,
  mode = 0o644,
): Entry<T> {
  return always((subject, path) =>
    attribute(subject, path, mode, (process) => ({
      show: () => show(subject),
      store: (text) => store(subject, text, process),
    }))
  );
}

/** Makes an attribute that can only be written. */
export function writeOnly<T extends object>(
  store: Store<T>,
  mode = 0o200,
): Entry<T> {
  return always((subject, path) =>
    attribute(subject, path, mode, (process) => ({
      store: (text) => store(subject, text, process),
    }))
  );
}

/** Marks an entry as one that every subject has. */
export function always<T>(entry: Entry<T>): Entry<T> {
  entry.isIn = () => true;
  return entry;
}

/**
 * Makes a text file. Changes of its owner and mode last as long as its subject.
 */
export function attribute(
  subject: object,
  path: string,
  mode: number,
  access: (process: Process) => TextAccess,
): FileNode {
  return new Attribute(subject, path, mode, access);
}

class Attribute implements FileNode {
  readonly kind = "file";
  readonly #subject: object;
  readonly #path: string;
  readonly #mode: number;
  readonly #access: (process: Process) => TextAccess;

  constructor(
    subject: object,
    path: string,
    mode: number,
    access: (process: Process) => TextAccess,
  ) {
    this.#subject = subject;
    this.#path = path;
    this.#mode = mode;
    this.#access = access;
  }

  get status(): FileStatus {
    const mode = S_IFREG | this.#mode;
    const initial = { mode, uid: 0, gid: 0, device: "0:0" };
    return statusOf(this.#subject, this.#path, initial);
  }

  open(process: Process, flags: number): TextFile {
    const granted = this.#access(process);
    // Even root cannot open an attribute for an access that it does not support
    // (`kernfs_fop_open()` in `fs/kernfs/file.c`).
    const wanted = flags & O_ACCMODE;
    if (wanted !== O_WRONLY && granted.show === undefined) refuse("EACCES");
    if (wanted !== O_RDONLY && granted.store === undefined) refuse("EACCES");
    return new TextFile(this.#path, granted);
  }

  change(to: Ownership): void {
    changeStatus(this.#subject, this.#path, to);
  }
}
