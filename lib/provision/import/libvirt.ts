/**
 * Imports the host devices of libvirt's domains.
 *
 * @module
 */

import { shortJson } from "../../printable.ts";
import { mediatedType } from "../../handoff/handed.ts";
import type { Host } from "../../host/host.ts";
import { basename } from "../../host/path.ts";
import { exists } from "../../host/sysfs.ts";
import { formatPciAddress } from "../../pci/address.ts";
import { filesIn, Found, type Imported, nothingThere } from "./found.ts";

const DIRECTORY = "/etc/libvirt/qemu";

/** A host device of a domain. */
interface HostDeviceElement {
  /** The attributes of the element. */
  readonly attributes: Readonly<Record<string, string>>;
  /** What is in it. */
  readonly inside: string;
}

/** Imports the host devices of libvirt's domains. */
export function importLibvirt(host: Host): Imported {
  const files = filesIn(host, DIRECTORY, (name) => name.endsWith(".xml"));
  if (files.length === 0) {
    throw nothingThere("libvirt", `domain in ${DIRECTORY}`);
  }
  const found = new Found(host);
  for (const { path, text } of files) {
    const xml = text.replaceAll(/<!--.*?-->/gs, "");
    for (const element of elementsOf(xml)) take(found, element, path);
    if (/<hugepages\b/.test(xml)) {
      found.note(
        `${path}: its memory is in huge pages: reserve them in hugePages`,
      );
    }
  }
  return found.result();
}

/** The elements that hand devices over. */
function elementsOf(xml: string): HostDeviceElement[] {
  const elements = /<(hostdev|interface)\b([^>]*?)(?:\/>|>(.*?)<\/\1>)/gs;
  return [...xml.matchAll(elements)].flatMap(
    ([, name, attributes = "", inside = ""]) => {
      const read = attributesOf(attributes);
      if (name === "hostdev") return [{ attributes: read, inside }];
      // Its source says which device it is; the type is that of the interface.
      return read.type === "hostdev"
        ? [{ attributes: { ...read, type: "pci" }, inside }]
        : [];
    },
  );
}

function attributesOf(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...text.matchAll(/([\w:-]+)\s*=\s*(?:'([^']*)'|"([^"]*)")/g)]
      .map(([, name, single, double]) => [name!, single ?? double ?? ""]),
  );
}

function take(
  found: Found,
  { attributes, inside }: HostDeviceElement,
  where: string,
): void {
  const source = /<source\b[^>]*>(.*?)<\/source>/s.exec(inside)?.[1] ?? "";
  const address = attributesOf(/<address\b([^>]*)/.exec(source)?.[1] ?? "");
  switch (attributes.type) {
    case "pci":
      takeFunction(found, attributes, inside, address, where);
      break;
    case "mdev":
      takeMediated(found, address.uuid ?? "", where);
      break;
    default:
      found.note(
        `${where}: a host device of type ${
          shortJson(attributes.type ?? "none")
        } ` +
          "is neither a PCI function nor a mediated device",
      );
  }
}

function takeFunction(
  found: Found,
  { managed }: Readonly<Record<string, string>>,
  inside: string,
  { domain = "0", bus = "", slot = "", function: fn = "" }: Readonly<
    Record<string, string>
  >,
  where: string,
): void {
  const parts = [domain, bus, slot, fn].map((text) =>
    /^(0x[\da-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : NaN
  );
  const limits = [0xffffffff, 0xff, 0x1f, 7];
  if (!parts.every((part, i) => part <= limits[i]!)) {
    found.note(`${where}: a host device has no PCI address`);
    return;
  }
  const address = formatPciAddress({
    domain: parts[0]!,
    bus: parts[1]!,
    slot: parts[2]!,
    function: parts[3]!,
  });
  const driver = attributesOf(/<driver\b([^>]*)/.exec(inside)?.[1] ?? "");
  const model = driver.model ?? "vfio-pci";
  if (!/^[\w-]{1,60}$/.test(model)) {
    found.note(`${where}: ${shortJson(model)} is no driver's name`);
    return;
  }
  found.function(address, model, where);
  if (managed === "yes") {
    found.note(
      `${basename(where)}: libvirt binds ${address} itself as the domain ` +
        "starts; with this state it is bound all the time: set managed='no'",
    );
  }
  const rom = attributesOf(/<rom\b([^>]*)/.exec(inside)?.[1] ?? "").file;
  if (rom !== undefined) {
    found.note(
      `${basename(where)}: the ROM ${
        shortJson(rom)
      } of ${address} stays in the ` +
        "domain; rom in a state keeps such a file",
    );
  }
  if (/<mac\b|<vlan\b/.test(inside)) {
    found.note(
      `${
        basename(where)
      }: the MAC address or VLAN of ${address} stays in the ` +
        "domain; virtualFunctions of its physical function has both",
    );
  }
}

function takeMediated(found: Found, text: string, where: string): void {
  const uuid = text.toLowerCase();
  const path = `/sys/bus/mdev/devices/${uuid}`;
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) {
    found.note(`${where}: ${shortJson(text)} is no UUID of a mediated device`);
  } else if (!exists(found.host.kernel, path)) {
    found.note(
      `${where}: the mediated device ${uuid} is not there now, so its parent ` +
        "and type are not known",
    );
  } else {
    const { parent, type } = mediatedType(found.host.find(path));
    const address = basename(parent);
    const isFunction = /^[\da-f]{4,8}:[\da-f]{2}:[\da-f]{2}\.[0-7]$/
      .test(address);
    found.mediated({ uuid, parent: isFunction ? address : parent, type });
  }
}
