/**
 * Shows `/proc`: processes with their open files, and the state of the kernel.
 *
 * @module
 */

import type { Directory, FileNode, Link, Node, Process } from "./file.ts";
import type { Machine } from "../machine/machine.ts";
import { LOCK_EX } from "../../uapi/linux/fcntl.ts";
import { modulesText } from "../driver/modules.ts";
import { refuse } from "../process/refusal.ts";
import { pagemap } from "./pagemap.ts";
import {
  attribute,
  mapDirectory,
  only,
  pathTree,
  readOnly,
  type Table,
  tableDirectory,
  union,
} from "./tree.ts";

/** All capabilities of Linux, which root has. */
const ALL_CAPABILITIES = "000001ffffffffff";

const MOUNTS = `sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
udev /dev devtmpfs rw,nosuid,relatime,mode=755 0 0
`;

const MOUNT_INFO = `20 1 0:19 / /sys rw,nosuid,nodev,noexec,relatime \
shared:1 - sysfs sysfs rw
21 1 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:2 - proc proc rw
22 1 0:5 / /dev rw,nosuid,relatime shared:3 - devtmpfs udev rw,mode=755
`;

/** Makes `/proc`. */
export function procfs(machine: Machine): Directory {
  const processes = mapDirectory(
    "/proc",
    () =>
      new Map(
        [...machine.processes.values()]
          .map((process) => [String(process.pid), process]),
      ),
    (process, path) =>
      union(
        processDirectory(process, path),
        mapDirectory(
          path,
          () => only("pagemap", process),
          (process) => pagemap(machine, process),
        ),
      ),
  );
  const self: Directory = {
    kind: "directory",
    names: () => ["self"],
    lookup: (name, { pid }) =>
      name === "self" ? { kind: "link", target: String(pid) } : undefined,
  };
  const system = tableDirectory(machine, "/proc", SYSTEM_TABLE);
  return pathTree([["/proc", union(system, self, processes)]]);
}

const SYSTEM_TABLE: Table<Machine> = {
  cmdline: readOnly(({ features }) => `${features.commandLine}\n`),
  cpuinfo: readOnly(({ iommu }) =>
    "processor\t: 0\n" +
    `vendor_id\t: ${
      iommu?.kind === "ivhd" ? "AuthenticAMD" : "GenuineIntel"
    }\n` +
    "flags\t\t: fpu vme de pse tsc msr pae mce cx8 apic sep\n\n"
  ),
  interrupts: readOnly(interrupts),
  modules: readOnly(modulesText),
  mounts: () => ({ kind: "link", target: "self/mounts" }),
  swaps: readOnly(() => "Filename\tType\tSize\tUsed\tPriority\n"),
  sys: (machine, path) => tableDirectory(machine, path, SYS_TABLE),
};

/** Writes `interrupts`. */
function interrupts({ remapsInterrupts }: Machine): string {
  const chip = `${remapsInterrupts ? "IR-" : ""}IO-APIC`;
  return "            CPU0       \n" +
    `   0:         32 ${chip.padStart(11)}    2-edge      timer\n` +
    `   9:          0 ${chip.padStart(11)}    9-fasteoi   acpi\n`;
}

const SYS_TABLE: Table<Machine> = {
  kernel: (machine, path) =>
    tableDirectory(machine, path, {
      osrelease: readOnly(({ features }) => `${features.release}\n`),
      random: (machine, path) => tableDirectory(machine, path, RANDOM_TABLE),
    }),
};

// In reality, each boot has another id.
const RANDOM_TABLE: Table<Machine> = {
  boot_id: readOnly(() => "5d3dcf2e-9a45-4e1c-8f0b-6a1c58a3f0d7\n"),
};

const PROCESS_TABLE: Table<Process> = {
  comm: readOnly(({ name }) => `${name.slice(0, 15)}\n`),
  environ: readOnly(() => "", 0o400),
  fd: (process) => fdDirectory(process, linkOfFd),
  fdinfo: (process, path) => fdDirectory(process, fdInfoIn(path)),
  limits: readOnly(limits),
  mountinfo: readOnly(() => MOUNT_INFO),
  mounts: readOnly(() => MOUNTS),
  status: readOnly(status),
};

function processDirectory(process: Process, path: string): Directory {
  return tableDirectory(process, path, PROCESS_TABLE);
}

/**
 * Makes a directory of a process's open files. Its user and root can read it.
 */
function fdDirectory(
  process: Process,
  entry: (process: Process, fd: number) => Node,
): Directory {
  const shown = ({ uid }: Process) => {
    if (uid !== 0 && uid !== process.uid) refuse("EACCES");
    return process.files;
  };
  return {
    kind: "directory",
    names: (reader) => [...shown(reader).keys()].map(String),
    lookup(name, reader): Node | undefined {
      const fd = Number(name);
      return shown(reader).has(fd) ? entry(process, fd) : undefined;
    },
  };
}

function linkOfFd({ files }: Process, fd: number): Link {
  return { kind: "link", target: files.get(fd)!.linkText };
}

/** Writes `fdinfo/FD` (`fs/proc/fd.c`), as far as it is read here. */
function fdInfoIn(directory: string) {
  return (process: Process, fd: number): FileNode =>
    attribute(process, `${directory}/${fd}`, 0o400, () => ({
      show() {
        const lock = process.lockOf(fd);
        if (lock === undefined) return "pos:\t0\n";
        const kind = lock === LOCK_EX ? "WRITE" : "READ ";
        return `pos:\t0\nlock:\t1: FLOCK  ADVISORY  ${kind} ${process.pid} ` +
          "00:1a:7 0 EOF\n";
      },
    }));
}

function limits({ memlock }: Process): string {
  const row = (...cells: string[]) =>
    [25, 20, 20, 10].map((width, i) => cells[i]!.padEnd(width)).join(" ") +
    "\n";
  const limit = memlock === Infinity ? "unlimited" : String(memlock);
  return row("Limit", "Soft Limit", "Hard Limit", "Units") +
    row("Max locked memory", limit, limit, "bytes");
}

function status({ name, pid, uid, gid, locked, pinned }: Process): string {
  const ids = (id: number) => Array(4).fill(id).join("\t");
  const size = (bytes: number) => `${String(bytes / 1024).padStart(8)} kB`;
  return Object.entries({
    Name: name.slice(0, 15),
    Tgid: pid,
    Pid: pid,
    PPid: pid === 1 ? 0 : 1,
    Uid: ids(uid),
    Gid: ids(gid),
    VmLck: size(locked),
    VmPin: size(pinned),
    CapEff: uid === 0 ? ALL_CAPABILITIES : "0".repeat(16),
  }).map(([key, value]) => `${key}:\t${value}\n`).join("");
}
