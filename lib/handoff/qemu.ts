/**
 * QEMU's command line for devices that are handed to it.
 *
 * Facts: QEMU's `docs/devel/vfio-iommufd.rst` and `hw/vfio/pci.c`, tried with
 * QEMU 10.
 *
 * @module
 */

import { shortJson } from "../printable.ts";
import { VfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import { IOMMUFD_NODE, vfioNodes } from "../host/iommu/nodes.ts";
import { exists } from "../host/sysfs.ts";

/** A value of one of QEMU's properties; JSON alone can carry structures. */
export type QemuValue =
  | string
  | number
  | boolean
  | readonly QemuValue[]
  | { readonly [name: string]: QemuValue };

/** A device that is handed to QEMU, and its options there. */
export interface QemuDevice {
  /**
   * A PCI function, or a mediated device of a type that appears as one
   * (`device_api` says `vfio-pci`).
   */
  readonly device: HostDevice;
  /** Its id in QEMU. Default: `"hd0"` and so on, by its position. */
  readonly id?: string;
  /**
   * Further properties of `vfio-pci`, such as `{ addr: "05.0", romfile: "" }`;
   * `qemu-system-x86_64 -device vfio-pci,help` lists those that there are.
   */
  readonly properties?: Readonly<Record<string, QemuValue>>;
  /**
   * Says that the driver of a mediated device pins only what the device
   * accesses. Then the machine's balloon can give memory back to the system
   * (`x-balloon-allowed`), which QEMU forbids otherwise.
   *
   * @default {false}
   */
  readonly pinsOnDemand?: boolean;
}

/**
 * How QEMU gets its devices:
 *
 * - `auto`: by `iommufd`, where the host has `/dev/iommu` and each device a node
 *   of its own, else by `legacy`. The devices are bound to their VFIO drivers
 *   already, and QEMU is 9.0 or newer;
 * - `legacy`: it opens the nodes of their groups and a container;
 * - `iommufd`: it opens `/dev/iommu` and the devices' own nodes (QEMU 9.0);
 * - `fds`: it opens nothing and inherits what was opened for it, by the
 *   numbers that they have in QEMU's process (QEMU 9.0).
 */
export type QemuAccess =
  | { readonly by: "auto" }
  | { readonly by: "legacy" }
  | { readonly by: "iommufd" }
  | {
    readonly by: "fds";
    /** The number of the iommufd. */
    readonly iommufd: number;
    /** The devices' numbers, in the order of the devices. */
    readonly devices: readonly number[];
  };

/** How the arguments are written. */
export interface QemuSyntax {
  /**
   * `"keyval"`, as people write them, or `"json"`, as libvirt does (QEMU 6.2).
   * Default: keyval, and JSON for a device that has a structure in a property.
   */
  readonly syntax?: "keyval" | "json";
}

/** How QEMU gets its devices, once that is chosen. */
type ChosenAccess = Exclude<QemuAccess, { by: "auto" }>;

/** The name of the one iommufd that all devices of a machine share. */
const IOMMUFD_ID = "iommufd0";

/**
 * The arguments that give a QEMU machine its devices. All of them share one
 * address space in the IOMMU: one container, or one iommufd.
 *
 * Every device has an id, without which QEMU could not migrate itself to a new
 * process (`cpr-transfer`).
 *
 * @param devices The devices, bound to their VFIO drivers when QEMU starts.
 * @param access How QEMU gets them.
 * @param options How the arguments are written.
 * @returns Arguments for `qemu-system-…`, none when there are no devices.
 * @throws {TypeError} When a device is on another bus than `pci` and `mdev`,
 * when an id or a property's name is none that QEMU takes, when two ids are the
 * same, when a property is what this function decides, or when one that is not
 * mediated is said to pin on demand.
 * @throws {VfioError} `NOT_SUPPORTED` for a mediated device by descriptors;
 * `WRONG_DRIVER` by `auto` for a device without a VFIO driver.
 * @throws {RangeError} When the descriptors are not as many as the devices, or
 * no numbers of descriptors.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { qemuArguments } from "@passthru/vfio/handoff";
 *
 * const device = new Host().function("0000:01:00.0");
 * console.log(qemuArguments([{ device }], { by: "iommufd" }).join(" "));
 * // -object iommufd,id=iommufd0
 * // -device vfio-pci,id=hd0,host=0000:01:00.0,iommufd=iommufd0
 * ```
 */
export function qemuArguments(
  devices: readonly QemuDevice[],
  access: QemuAccess,
  options: QemuSyntax = {},
): string[] {
  if (access.by === "fds") validateDescriptors(devices, access);
  if (devices.length === 0) return [];
  const chosen = access.by === "auto" ? { by: chooseWay(devices) } : access;
  const { syntax } = options;
  const ids = new Set([IOMMUFD_ID]);
  const written = devices.map((given, place) => {
    const { device, id = `hd${place}`, properties = {} } = given;
    if (ids.has(id)) throw new TypeError(`Two objects cannot be "${id}"`);
    ids.add(id);
    return write("driver", {
      driver: "vfio-pci",
      id: validId(id),
      ...reach(device, chosen, place),
      ...balloon(given),
      ...furtherProperties(properties),
    }, syntax);
  });
  return [
    ...object(chosen, syntax),
    ...written.flatMap((text) => ["-device", text]),
  ];
}

/** Chooses between the ways by which QEMU opens its devices itself. */
function chooseWay(devices: readonly QemuDevice[]): "iommufd" | "legacy" {
  const allHaveNodes = devices.map(({ device }) => {
    const { group, cdev } = vfioNodes(device);
    if (group === undefined && cdev === undefined) throw notBound(device);
    return cdev !== undefined;
  }).every((hasNode) => hasNode);
  const { kernel } = devices[0]!.device.host;
  return allHaveNodes && exists(kernel, IOMMUFD_NODE) ? "iommufd" : "legacy";
}

function notBound({ name, driver }: HostDevice): VfioError {
  return new VfioError("WRONG_DRIVER", {
    device: name,
    problem: "it has no VFIO nodes, by which the way is chosen: " +
      (driver === undefined ? "no driver has it" : `${driver} has it`),
    hint: 'bind it to a VFIO driver first, or name the way: by: "iommufd" or ' +
      'by: "legacy"',
  });
}

/** The iommufd, where there is one. */
function object(access: ChosenAccess, syntax: QemuSyntax["syntax"]): string[] {
  if (access.by === "legacy") return [];
  const properties = {
    "qom-type": "iommufd",
    id: IOMMUFD_ID,
    ...access.by === "fds" ? { fd: String(access.iommufd) } : {},
  };
  return ["-object", write("qom-type", properties, syntax)];
}

/** The properties by which QEMU finds a device. */
function reach(
  device: HostDevice,
  access: ChosenAccess,
  place: number,
): Record<string, QemuValue> {
  const where = whereabouts(device);
  switch (access.by) {
    case "legacy":
      return where;
    case "iommufd":
      return { ...where, iommufd: IOMMUFD_ID };
    case "fds":
      refuseMediated(device);
      // A string: QEMU takes the name of a monitor's descriptor as well, and
      // in JSON refuses a number.
      return { iommufd: IOMMUFD_ID, fd: String(access.devices[place]) };
  }
}

// QEMU asks the kernel for the IOMMU of the device, which has none: "Failed to
// get hardware info" (QEMU 10.0, vfio_device_hiod_create_and_realize()).
function refuseMediated({ bus, name }: HostDevice): void {
  if (bus !== "mdev") return;
  throw new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: "QEMU takes every device that it inherits for a PCI function " +
      "with an IOMMU, and this one is mediated",
    hint: "let QEMU open it: by iommufd, or legacy",
  });
}

function whereabouts({ bus, name }: HostDevice): Record<string, string> {
  switch (bus) {
    case "pci":
      return { host: name };
    case "mdev":
      return { sysfsdev: `/sys/bus/mdev/devices/${name}` };
    default:
      throw new TypeError(
        `Cannot hand ${name} to QEMU: it is on the ${bus} bus, and QEMU's ` +
          "vfio-pci takes devices of pci and mdev",
      );
  }
}

/** The property by which a machine's balloon may be used beside a device. */
function balloon(
  { device: { bus, name }, pinsOnDemand = false }: QemuDevice,
): Record<string, QemuValue> {
  if (!pinsOnDemand) return {};
  if (bus === "mdev") return { "x-balloon-allowed": true };
  throw new TypeError(
    `${name} cannot pin on demand: only a mediated device can`,
  );
}

/** Properties that this function sets itself. */
const DECIDED = [
  "driver",
  "fd",
  "host",
  "id",
  "iommufd",
  "sysfsdev",
  "x-balloon-allowed",
];

function furtherProperties(
  properties: Readonly<Record<string, QemuValue>>,
): Readonly<Record<string, QemuValue>> {
  for (const name of Object.keys(properties)) {
    if (!/^[A-Za-z][\w-]*$/.test(name)) {
      throw new TypeError(`${shortJson(name)} is no property of QEMU's`);
    }
    if (DECIDED.includes(name)) {
      throw new TypeError(`The property "${name}" is not free to choose`);
    }
  }
  return properties;
}

// id_wellformed() in util/id.c
function validId(id: string): string {
  if (/^[A-Za-z][\w.-]*$/.test(id)) return id;
  throw new TypeError(
    `${shortJson(id)} is no id for QEMU: expected a letter, then ` +
      "letters, digits and any of - . _",
  );
}

function validateDescriptors(
  devices: readonly QemuDevice[],
  access: Extract<QemuAccess, { by: "fds" }>,
): void {
  if (access.devices.length !== devices.length) {
    throw new RangeError(
      `${devices.length} devices cannot have ${access.devices.length} ` +
        "descriptors",
    );
  }
  const numbers = [access.iommufd, ...access.devices];
  const wrong = numbers.find((fd) => !Number.isInteger(fd) || fd < 0);
  if (wrong !== undefined) throw new RangeError(`${wrong} is no descriptor`);
  if (new Set(numbers).size < numbers.length) {
    throw new RangeError("Two devices cannot have one descriptor");
  }
}

/** Writes an object of QEMU's; `kind` names what its first property is. */
function write(
  kind: string,
  properties: Readonly<Record<string, QemuValue>>,
  syntax: QemuSyntax["syntax"],
): string {
  const structured = Object.values(properties)
    .some((value) => typeof value === "object");
  if (structured && syntax === "keyval") {
    throw new TypeError("A structure as a property is written in JSON only");
  }
  if (structured || syntax === "json") return JSON.stringify(properties);
  return Object.entries(properties)
    .map(([name, value]) =>
      name === kind ? `${value}` : `${name}=${keyvalValue(value)}`
    )
    .join(",");
}

// util/keyval.c and util/qemu-option.c: a comma in a value is doubled.
function keyvalValue(value: QemuValue): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return String(value).replaceAll(",", ",,");
}
