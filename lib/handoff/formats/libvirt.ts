/**
 * Devices for libvirt: `<hostdev>` of a domain, and node devices.
 *
 * Rules: libvirt's `src/conf/schemas/{domaincommon,nodedev}.rng`, and the
 * versions in its `docs/formatdomain.rst`: an old libvirt ignores what it does
 * not know. Tried with libvirt 9.0.
 *
 * @module
 */

import { escapeXml } from "../../printable.ts";
import { hex } from "../../hex.ts";
import type { HostDevice } from "../../host/device.ts";
import { standsInTheWay } from "../../host/driver/vfio_driver.ts";
import { basename } from "../../host/path.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { parsePciAddress } from "../../pci/address.ts";
import {
  assertVersion,
  type Emitted,
  type Format,
  type Handoff,
  type HandoffOptions,
  inexpressible,
} from "../format.ts";
import {
  assertVfioDriver,
  functionOf,
  type Handed,
  isMediated,
  mediatedType,
} from "../handed.ts";

/** The version that has `<driver iommufd='yes'/>`; older ones ignore it. */
const IOMMUFD = "12.1";
/** The version that takes other VFIO drivers than vfio-pci. */
const VARIANTS = "10.0";

/** Devices of a libvirt domain. */
export const LIBVIRT: Format = {
  about: "hostdev elements of a libvirt domain",
  options: ["iommufd", "managed", "consumer"],
  write({ devices, options }: Handoff): Emitted {
    const { iommufd = false, consumer } = options;
    if (iommufd) assertVersion(options, "libvirt", "iommufd", IOMMUFD);
    return {
      text: devices.map((handed) => hostdev(handed, options)).join(""),
      notes: [
        ...iommufd && consumer === undefined
          ? [`libvirt before ${IOMMUFD} ignores iommufd='yes' without a word`]
          : [],
        ...obstaclesOf(devices).map(({ name, driver }) =>
          "libvirt binds only what is listed, and the domain does not start " +
          `while ${name}, of the same IOMMU group, is on ${driver}`
        ),
      ],
    };
  },
};

/** A node device of libvirt. */
export const LIBVIRT_NODEDEV: Format = {
  about: "the node device of libvirt that a device is",
  options: [],
  write({ devices }: Handoff): Emitted {
    if (devices.length > 1) {
      throw new TypeError(
        "A document of libvirt has one node device: expected one device",
      );
    }
    const [handed] = devices;
    return isMediated(handed!, "libvirt")
      ? { text: mediatedNode(handed!), notes: [] }
      : { text: functionNode(functionOf(handed!, "libvirt")), notes: [] };
  },
};

/** The drivers that keep a group from the domain, on devices not listed. */
function obstaclesOf(devices: readonly Handed[]): HostDevice[] {
  const listed = new Set(devices.map(({ device }) => device.name));
  const members = devices.flatMap(({ device }) =>
    device.iommuGroup?.devices ?? []
  );
  const others = new Map(members.map((each) => [each.name, each]));
  return [...others.values()].filter((each) =>
    !listed.has(each.name) && standsInTheWay(each)
  );
}

function hostdev(handed: Handed, options: HandoffOptions): string {
  return isMediated(handed, "libvirt")
    ? mediatedHostdev(handed, options)
    : functionHostdev(handed, options);
}

function functionHostdev(handed: Handed, options: HandoffOptions): string {
  const { managed = false, iommufd = false } = options;
  const { address } = functionOf(handed, "libvirt");
  const driver = managed ? handed.driver : assertVfioDriver(handed, "libvirt");
  const variant = driver !== undefined && driver !== "vfio-pci" &&
    /vfio/.test(driver);
  if (variant) assertVersion(options, "libvirt", `driver ${driver}`, VARIANTS);
  const attributes = [
    // libvirt chooses the driver itself unless it is told.
    ...variant && managed ? [`model='${driver}'`] : [],
    ...iommufd ? ["iommufd='yes'"] : [],
  ];
  const line = attributes.length === 0
    ? ""
    : `  <driver ${attributes.join(" ")}/>\n`;
  return `<hostdev mode='subsystem' type='pci' managed='${
    managed ? "yes" : "no"
  }'>
${line}  <source>
    ${addressElement(address)}
  </source>
</hostdev>
`;
}

function mediatedHostdev(
  { device }: Handed,
  { iommufd = false, managed = false }: HandoffOptions,
): string {
  const { name } = device;
  if (iommufd || managed) {
    throw inexpressible(
      name,
      iommufd
        ? "libvirt has iommufd for PCI functions only, and this is a " +
          "mediated device"
        : "libvirt binds PCI functions only, and this is a mediated device",
      "hand it over on its own",
    );
  }
  const { api } = mediatedType(device);
  return `<hostdev mode='subsystem' type='mdev' model='${api}'>
  <source>
    <address uuid='${name}'/>
  </source>
</hostdev>
`;
}

function addressElement(address: string): string {
  const { domain, bus, slot, function: fn } = parsePciAddress(address);
  return `<address domain='${hex(domain, 4)}' bus='${hex(bus, 2)}' slot='${
    hex(slot, 2)
  }' function='${hex(fn)}'/>`;
}

/** The name that libvirt has for a function: `pci_0000_01_00_0`. */
function nodeNameOf(address: string): string {
  return `pci_${address.replaceAll(/[:.]/g, "_")}`;
}

function functionNode(fn: PciFunction): string {
  const { domain, bus, slot, function: number } = parsePciAddress(fn.address);
  const { driver, iommuGroup } = fn;
  const members = (iommuGroup?.devices ?? []).filter((each) =>
    each.bus === "pci"
  );
  const group = iommuGroup === undefined
    ? ""
    : `    <iommuGroup number='${iommuGroup.id}'>\n${
      members.map(({ name }) => `      ${addressElement(name)}\n`).join("")
    }    </iommuGroup>\n`;
  return `<device>
  <name>${nodeNameOf(fn.address)}</name>
  <path>${escapeXml(fn.path)}</path>
${
    driver === undefined
      ? ""
      : `  <driver><name>${escapeXml(driver)}</name></driver>\n`
  }  <capability type='pci'>
    <class>${hex(fn.class, 6)}</class>
    <domain>${domain}</domain>
    <bus>${bus}</bus>
    <slot>${slot}</slot>
    <function>${number}</function>
    <product id='${hex(fn.device, 4)}'/>
    <vendor id='${hex(fn.vendor, 4)}'/>
${group}  </capability>
</device>
`;
}

function mediatedNode({ device }: Handed): string {
  const { parent, type } = mediatedType(device);
  const address = basename(parent);
  if (!/^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(address)) {
    throw inexpressible(
      device.name,
      `libvirt's name of ${parent} is not known: it is no PCI function`,
      "define it by virsh: nodedev-list lists the parents",
    );
  }
  return `<device>
  <name>mdev_${device.name.replaceAll("-", "_")}_${
    address.replaceAll(/[:.]/g, "_")
  }</name>
  <parent>${nodeNameOf(address)}</parent>
  <capability type='mdev'>
    <type id='${escapeXml(type)}'/>
    <uuid>${device.name}</uuid>
  </capability>
</device>
`;
}
