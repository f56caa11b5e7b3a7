/**
 * A simulated host for steps of every kind, with processes that a test can
 * kill.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { simulate, SimulatedHost } from "../../lib/sim/host.ts";
import { Host } from "../../lib/host/host.ts";
import { exists } from "../../lib/host/sysfs.ts";
import { hasErrno } from "../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../lib/kernel/intercept.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import type { SimulatedMachine } from "../../lib/sim/machine/control.ts";
import { makeRom } from "../../lib/sim/pci/rom.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";
import { O_ACCMODE, O_CREAT, O_RDONLY } from "../../lib/uapi/linux/fcntl.ts";
import { S_IFDIR, S_IFMT } from "../../lib/uapi/linux/statx.ts";
import type { Step } from "../../lib/provision/steps/step.ts";

export const NIC = "0000:00:08.0";
export const DISK = "0000:00:07.0";
export const PHYSICAL = "0000:01:00.0";
export const VIRTUAL: readonly string[] = [0, 2, 4, 6].map((i) =>
  `0000:01:10.${i}`
);
export const GPU = "0000:00:02.0";
export const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
export const LIMITS = "/etc/security/limits.d/90-passthru.conf";
/** A copy in a directory that does not exist yet. */
export const ROM = "/etc/roms/nic.rom";
/** What hands a device over, in a directory that does not exist yet. */
export const HANDOFF = "/etc/cdi/passthru.json";
const DEVICES = "/sys/devices/pci0000:00";

/** The topology of the host. */
export const TOPOLOGY: Topology = {
  functions: {
    [GPU]: { id: "8086:5912", class: 0x030000, driver: "i915" },
    [DISK]: { id: "1b36:0010", class: 0x010802, driver: "nvme" },
    [NIC]: {
      id: "8086:10d3",
      class: 0x020000,
      driver: "e1000e",
      power: "auto",
      rom: "8K",
      romContents: makeRom(
        { vendor: 0x8086, device: 0x10d3, class: 0x020000 },
        [9, 2],
      ),
    },
    [PHYSICAL]: {
      id: "8086:10c9",
      class: 0x020000,
      driver: "igb",
      network: "eth0",
      sriov: { total: 7, id: "8086:10ca", driver: "igbvf" },
    },
  },
  mediatedTypes: { [GPU]: { "i915-GVTg_V5_4": { instances: 2 } } },
  files: {
    "/etc/hostname": "host\n",
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    "/boot/grub/grub.cfg": "linux /vmlinuz quiet\n",
    "/lib/modules/7.3.4/modules.dep":
      "kernel/a.ko: kernel/b.ko\nkernel/b.ko:\n",
    "/usr/sbin/modprobe": "",
    "/usr/sbin/rmmod": "",
    "/usr/sbin/update-grub": "",
  },
};

/** Returns steps of every kind. */
export function everyStep(): Step[] {
  const physical = `/sys/devices/pci0000:01/${PHYSICAL}`;
  const why = "a test wants it";
  return [
    { kind: "module", name: "a", why },
    {
      kind: "configuration",
      path: "/etc/default/grub",
      files: [
        {
          path: "/etc/default/grub",
          text: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\n',
        },
        { path: "/etc/kernel/cmdline", text: "quiet iommu=pt\n", mode: 0o600 },
      ],
      commands: [["/usr/sbin/update-grub"]],
      settings: ["iommu=pt"],
      atBoot: { commandLine: ["iommu=pt"] },
      why,
    },
    { kind: "rom", device: NIC, path: ROM, why },
    {
      kind: "attribute",
      device: PHYSICAL,
      path: `${physical}/sriov_drivers_autoprobe`,
      value: "0",
      why,
    },
    { kind: "virtual functions", device: PHYSICAL, count: 4, why },
    {
      kind: "vf network",
      device: VIRTUAL[1]!,
      physical: PHYSICAL,
      index: 1,
      mac: "52:54:00:12:34:56",
      vlan: 5,
      why,
    },
    ...VIRTUAL.slice(0, 2).map((device) => (
      { kind: "driver", device, driver: "vfio-pci", why } as const
    )),
    { kind: "driver", device: DISK, driver: "vfio-pci", why },
    { kind: "driver", device: NIC, driver: null, why },
    {
      kind: "mediated device",
      device: UUID,
      parent: `${DEVICES}/${GPU}`,
      type: "i915-GVTg_V5_4",
      why,
    },
    { kind: "node", device: DISK, uid: 1000, mode: 0o660, why },
    {
      kind: "file",
      path: LIMITS,
      text: "alice - memlock unlimited\n",
      why,
    },
    { kind: "file", path: "/etc/hostname", text: "other\n", why },
    { kind: "link", path: "/etc/alias", target: "hostname", why },
    {
      kind: "handoff",
      path: HANDOFF,
      format: "cdi",
      devices: [DISK],
      options: { iommufd: true },
      why,
    },
  ];
}

/** Thrown by each call of a killed process. */
export class Killed extends Error {}

/** When a process is killed: at its nth call, before or after that is made. */
export interface Death {
  readonly nth: number;
  readonly after: boolean;
}

/** A process on a machine, which may be killed at one of its calls. */
export class Mortal {
  readonly calls: KernelCall[] = [];
  readonly host: Host;
  /** Whether it was killed. */
  dead = false;

  constructor(machine: SimulatedMachine, death?: Death) {
    const process = machine.spawn({ name: "passthru" });
    const refuse = ({ method }: KernelCall) => {
      if (method.endsWith("Async")) return Promise.reject(new Killed());
      throw new Killed();
    };
    const die = (call: KernelCall) => {
      this.dead = true;
      process.exit();
      return refuse(call);
    };
    const kernel = intercept(process, (call, proceed) => {
      if (this.dead) return refuse(call);
      this.calls.push(call);
      if (this.calls.length !== death?.nth) return proceed();
      if (!death.after) return die(call);
      try {
        const made = proceed();
        if (made instanceof Promise) return made.finally(() => die(call));
      } catch {
        // The call fails, and the process is killed all the same.
      }
      return die(call);
    });
    this.host = new Host({ kernel });
  }
}

/**
 * Calls that change only the process itself: being killed before or after them
 * leaves the same host.
 */
const HARMLESS = /^(?:addressOf|close|fstat|fsync|lstat|pread|read|stat)/;

/**
 * Lists all deaths during an operation that can leave different hosts.
 *
 * @param act The operation.
 * @param machine The machine.
 */
export async function deathsIn(
  act: (process: Mortal) => Promise<unknown>,
  machine = bench(),
): Promise<Death[]> {
  const process = new Mortal(machine);
  await act(process);
  assertGreater(process.calls.length, 40);
  const changes = process.calls.flatMap(({ method, args }, i) => {
    const reads = method === "open" &&
      (Number(args[1]) & (O_ACCMODE | O_CREAT)) === O_RDONLY;
    return HARMLESS.test(method) || reads ? [] : [i + 1];
  });
  // After one change is the same as before the next.
  return [
    { nth: changes[0]!, after: false },
    ...changes.map((nth) => ({ nth, after: true })),
  ];
}

/**
 * The entries at paths of sysfs. They are read once, as their kinds and owners
 * never change.
 */
const known = new Map<string, Entry>();

type Entry =
  | { readonly kind: "link" }
  | {
    readonly kind: "directory" | "file" | "unreadable";
    readonly owner: string;
  };

/** Reads everything in a tree: links, attributes, and owners. */
export function contents(kernel: Kernel, path: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (path: string) => {
    const entry = known.get(path) ?? entryAt(kernel, path);
    if (path.startsWith("/sys/")) known.set(path, entry);
    if (entry.kind === "link") {
      found.set(path, `-> ${kernel.readlink(path)}`);
    } else if (entry.kind !== "directory") {
      const text = entry.kind === "file" ? kernel.readFile(path) : "";
      found.set(path, `${entry.owner} ${text}`);
    } else {
      found.set(path, entry.owner);
      for (const name of kernel.readdir(path)) visit(`${path}/${name}`);
    }
  };
  visit(path);
  return found;
}

function entryAt(kernel: Kernel, path: string): Entry {
  if (isLink(kernel, path)) return { kind: "link" };
  const { mode, uid, gid } = kernel.stat(path);
  const owner = `${mode.toString(8)} ${uid}:${gid}`;
  if ((mode & S_IFMT) === S_IFDIR) return { kind: "directory", owner };
  return { kind: isReadable(kernel, path) ? "file" : "unreadable", owner };
}

function isLink(kernel: Kernel, path: string): boolean {
  try {
    kernel.readlink(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "EINVAL")) return false;
    throw error;
  }
}

function isReadable(kernel: Kernel, path: string): boolean {
  try {
    kernel.readFile(path);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EINVAL")) return false;
    throw error;
  }
}

/** Reads everything that an apply could leave behind on a machine. */
export function stateOf(machine: SimulatedMachine): Map<string, string> {
  const process = machine.spawn();
  try {
    return new Map(
      ["/sys", "/etc", "/boot", "/dev/vfio"]
        .filter((path) => exists(process, path))
        .flatMap((path) => [...contents(process, path)]),
    );
  } finally {
    process.exit();
  }
}

/** Lists the journals on a machine. */
export function journalsOf(machine: SimulatedMachine): string[] {
  const process = machine.spawn();
  try {
    return ["/run/passthru", "/var/lib/passthru"].flatMap((path) => {
      try {
        return process.readdir(path).filter((name) => name !== "lock");
      } catch (error) {
        if (hasErrno(error, "ENOENT")) return [];
        throw error;
      }
    });
  } finally {
    process.exit();
  }
}

/** Asserts that a machine has its previous state, and no journals. */
export function assertAsBefore(
  machine: SimulatedMachine,
  before: Map<string, string>,
): void {
  assertEquals(differences(before, stateOf(machine)), []);
  assertEquals(journalsOf(machine), []);
}

/** The differences, a line for each path. */
export function differences(
  before: Map<string, string>,
  after: Map<string, string>,
): string[] {
  return [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .map((path) => `${path}: ${before.get(path)} | ${after.get(path)}`);
}

/** A machine for steps of every kind. */
export function bench(topology: Topology = TOPOLOGY): SimulatedMachine {
  return simulate(topology).machine;
}

/** A new process on a machine, without failures. */
export function newcomer(machine: SimulatedMachine): Host {
  return new SimulatedHost(machine, { name: "passthru" });
}

/**
 * Runs a test for each value. Many tests run at once, each on its own machine,
 * as they mostly wait.
 *
 * @param ways The values.
 * @param test The test.
 */
export async function forEach<T>(
  ways: readonly T[],
  test: (way: T) => Promise<void>,
): Promise<void> {
  const rest = ways.values();
  const takeTurns = async () => {
    for (const way of rest) {
      try {
        await test(way);
      } catch (cause) {
        throw new Error(JSON.stringify(way), { cause });
      }
    }
  };
  await Promise.all(Array.from({ length: 32 }, takeTurns));
}
