/**
 * What a host uses a device for.
 *
 * @module
 */

import { type DeviceHost, HostDevice } from "../device.ts";
import { type DriverNode, DriverNodes } from "../driver/nodes.ts";
import { nodePaths } from "../iommu/nodes.ts";
import { type Opener, openersText, openersWhere } from "../openers.ts";
import { printable } from "../../printable.ts";
import { PciFunction } from "../pci/function.ts";
import { linkTarget, namesIn } from "../sysfs.ts";
import { isVfioDriver } from "../driver/vfio_driver.ts";
import { madeUses } from "./consequences.ts";
import { diskUses } from "./disks.ts";
import { displayUses } from "./display.ts";
import { networkUses } from "./networks.ts";
import { numberedNodes } from "./numbered_nodes.ts";
import { Routes } from "./routes.ts";
import { type SshSession, sshSessions } from "./ssh.ts";
import { Storage } from "./storage.ts";
import type { Finding, Use } from "./use.ts";

/**
 * Attributes by which programs use a device without a node: its sensors, and
 * its BARs.
 */
const ATTRIBUTE = /^\/sys\/.*\/(?:hwmon\/hwmon\d+\/[^/]+|resource\d(?:_wc)?)$/;

const MEDIATED = "/sys/bus/mdev/devices";

/**
 * What the host uses a device for: mounted file systems and swap on its
 * disks, through partitions, LVM, MD, dm-crypt, multipath, bcache and loop
 * devices; volumes that are active; default routes and this SSH session through
 * its network interfaces, bonds, bridges and VLANs; the display; its virtual
 * functions; the drives that vanish with it; open device nodes and sensors. Root
 * sees the most.
 *
 * @param host The host.
 * @param device The device.
 * @returns A clause for each; none when nothing was found.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { usesOf } from "@passthru/vfio/host";
 *
 * const host = new Host();
 * for (const fn of host.functions()) {
 *   for (const { problem } of usesOf(host, fn)) {
 *     console.log(fn.address, problem);
 *   }
 * }
 * ```
 */
export function usesOf(host: DeviceHost, device: HostDevice): Use[] {
  return new HostUse(host).of(device);
}

/** What a host uses, at one time. Each part is read when it is first needed. */
export class HostUse {
  readonly #host: DeviceHost;
  readonly #storage: Storage;
  readonly #routes: Routes;
  #nodes: DriverNodes | undefined;
  #sessions: readonly SshSession[] | undefined;
  /** The open nodes and attributes of all devices. */
  #opened: ReadonlyMap<string, readonly Opener[]> | undefined;

  /** @param host The host. */
  constructor(host: DeviceHost) {
    this.#host = host;
    this.#storage = new Storage(host.kernel);
    this.#routes = new Routes(host.kernel);
  }

  /** What it uses a device for. */
  of(device: HostDevice): Use[] {
    const { kernel } = this.#host;
    const nodes = this.#nodesOf(device);
    const named = (wanted: DriverNode["kind"]) =>
      nodes.filter(({ kind }) => kind === wanted).map(({ name }) => name);
    const networks = named("network");
    const open = this.#open(device, nodes);
    const virtual = device instanceof PciFunction
      ? device.virtualFunctions
      : [];
    const found: Finding[] = [
      ...diskUses(kernel, this.#storage, named("disk"), open),
      ...networks.length === 0 ? [] : networkUses(
        kernel,
        this.#routes,
        this.#sessions ??= sshSessions(kernel),
        networks,
      ),
      ...displayUses(kernel, device.path),
      ...virtual.flatMap((each) => this.#virtualUses(each)),
      ...madeUses(device),
      ...[...open].map(([node, openers]): Finding => ({
        kind: "open",
        problem: `${node} is open in ${openersText(openers)}`,
      })),
    ];
    return found.map(({ kind, problem }) => ({
      kind,
      device: device.name,
      problem: printable(problem),
    }));
  }

  /** Host drivers make nodes and interfaces; VFIO drivers do not. */
  #nodesOf({ driver, path }: HostDevice): DriverNode[] {
    if (driver === undefined || isVfioDriver(driver)) return [];
    return (this.#nodes ??= new DriverNodes(this.#host.kernel)).below(path);
  }

  /** The device nodes of a device that processes have open. */
  #open(
    device: HostDevice,
    nodes: readonly DriverNode[],
  ): Map<string, readonly Opener[]> {
    const { kernel } = this.#host;
    const { name, path, driver } = device;
    const hasHostDriver = driver !== undefined && !isVfioDriver(driver);
    // Until a VFIO driver has the device, a process that has its group open
    // uses other members of the group.
    const itself = isVfioDriver(driver ?? "") ? [device] : [];
    const mediated = namesIn(kernel, MEDIATED).flatMap((uuid) => {
      const target = linkTarget(kernel, `${MEDIATED}/${uuid}`);
      return target?.startsWith(`${path}/`)
        ? [new HostDevice(this.#host, target, "mdev")]
        : [];
    });
    const wanted = new Set([
      ...nodes.filter(({ kind }) => kind !== "network")
        .map(({ name }) => name),
      ...hasHostDriver && device instanceof PciFunction
        ? numberedNodes(kernel, name)
        : [],
      ...nodePaths([...itself, ...mediated]),
    ]);
    if (wanted.size === 0 && !hasHostDriver) return new Map();
    const isAttribute = (file: string) =>
      hasHostDriver && file.startsWith(`${path}/`);
    this.#opened ??= openersWhere(
      kernel,
      (path) => path.startsWith("/dev/") || ATTRIBUTE.test(path),
    );
    return new Map(
      [...this.#opened].filter(([path]) =>
        wanted.has(path) || isAttribute(path)
      ),
    );
  }

  #virtualUses(fn: PciFunction): Finding[] {
    const { address, driver } = fn;
    const uses = this.of(fn).map(({ problem }) => problem);
    if (driver !== undefined && isVfioDriver(driver)) {
      uses.unshift(`${driver} has it`);
    }
    return uses.map((problem) => ({
      kind: "virtual functions",
      problem: `its virtual function ${address} is in use: ${problem}`,
    }));
  }
}
