/**
 * The configuration of the SR-IOV network device plugin of Kubernetes.
 *
 * Rules: its `pkg/resources`, which has network devices and accelerators only
 * and ignores keys that it does not know.
 *
 * @module
 */

import { hexDigits } from "../../hex.ts";
import { shortJson } from "../../printable.ts";
import {
  type Emitted,
  type Format,
  type Handoff,
  inexpressible,
  jsonText,
} from "../format.ts";
import { assertVfioDriver, functionOf, type Handed } from "../handed.ts";
import { resourceName } from "./names.ts";

const WHO = "the SR-IOV device plugin";

/** The kinds that it has, by base class. */
const TYPES: Readonly<Record<number, string>> = {
  0x02: "netDevice",
  0x12: "accelerator",
};

/** The configuration of the plugin. */
export const SRIOV_DEVICE_PLUGIN: Format = {
  about: "the configuration of Kubernetes' SR-IOV network device plugin",
  options: ["name"],
  write,
};

function write(handoff: Handoff): Emitted {
  const { domain, name } = resourceName(handoff);
  if (!/^[a-zA-Z0-9_-]+$/.test(name)) {
    throw new TypeError(
      `The name is ${shortJson(name)}: expected letters, digits, _ and -, ` +
        `as ${WHO} has it`,
    );
  }
  const types = new Map(
    handoff.devices.map((handed) => [typeOf(handed), handed.device.name]),
  );
  const [[deviceType, first], other] = [...types] as [
    [string, string],
    [string, string]?,
  ];
  if (other !== undefined) {
    throw inexpressible(
      other[1],
      `a resource of ${WHO} is of one type: this is ${other[0]}, and ` +
        `${first} is ${deviceType}`,
      "hand them over under two names",
    );
  }
  const functions = handoff.devices.map((each) => functionOf(each, WHO));
  const each = (texts: string[]) => [...new Set(texts)];
  return {
    text: jsonText({
      resourceList: [{
        resourcePrefix: domain,
        resourceName: name,
        deviceType,
        selectors: [{
          vendors: each(functions.map(({ vendor }) => hexDigits(vendor, 4))),
          devices: each(functions.map(({ device }) => hexDigits(device, 4))),
          drivers: each(
            handoff.devices.map((handed) => assertVfioDriver(handed, WHO)),
          ),
          pciAddresses: functions.map(({ address }) => address),
        }],
      }],
    }),
    notes: [],
  };
}

function typeOf(handed: Handed): string {
  const fn = functionOf(handed, WHO);
  const type = TYPES[fn.class >> 16];
  if (type !== undefined) return type;
  throw inexpressible(
    fn.address,
    `${WHO} has network devices (class 02) and accelerators (12), and this ` +
      `is of class ${hexDigits(fn.class >> 16, 2)}`,
    "use kubevirt, or dra",
  );
}
