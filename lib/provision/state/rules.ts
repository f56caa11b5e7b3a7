/**
 * The rules for a {@linkcode DesiredState}.
 *
 * @module
 */

import { HANDOFF_FORMATS } from "../../handoff/emit.ts";
import type { HandoffFormat } from "../../handoff/format.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import {
  choice,
  described,
  either,
  list,
  mismatch,
  object,
  oneOf,
  orNull,
  record,
  type Rule,
  text,
  wholeNumber,
} from "../../rule.ts";
import type {
  AddressSelector,
  DesiredState,
  FunctionState,
  HandoffState,
  HugePagesState,
  IdSelector,
  MediatedState,
  NodeState,
  PathSelector,
  Pin,
  ResetMethod,
  Selector,
  SlotSelector,
  VirtualFunctionsState,
  VirtualFunctionState,
} from "./state.ts";
import {
  COMMAND_LINE,
  INTERRUPTS,
  ISOLATION,
  MODULE_OPTIONS,
  MODULES,
} from "./settings_rules.ts";
import { assertUniqueMacs } from "./unique_macs.ts";

// The patterns have no flags: JSON schemas do not support them.
const ADDRESS = /^([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]$/;
const PATH =
  /^[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7](\/[01][0-9a-fA-F]\.[0-7])*$/;
const ID = /^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$/;
const SERIAL = /^[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){7}$/;
const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;
/** Names of drivers, slots and types. They become part of a path. */
const NAME = /^[A-Za-z0-9_+-][A-Za-z0-9_.+-]*$/;
const VFIO_DRIVER = /(^|[-_])vfio([-_]|$)/;
const SIZE = /^[1-9][0-9]{0,6}[KMGT]$/;
const USER = /^([a-z_][a-z0-9_.-]{0,31}|[0-9]{1,10})$/;
/** All zeros and multicast addresses are excluded. */
const MAC = /^(?!00(:00){5}$)[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$/;
/** Absolute and normalized, so that two different paths are different files. */
export const FILE = /^(\/(?!\.{1,2}(\/|$))[^/\n]+)+$/;
const INDEX = /^(0|[1-9][0-9]{0,4})$/;
const MODE = /^0?[0-7]{3}$/;

const MAX_ID = 2 ** 32 - 2;
const MAX_VIRTUAL = 0xffff;

const address = text('an address such as "0000:01:00.0"', ADDRESS);
const id = text('a vendor and a device such as "8086:10d3"', ID);

/** Tests for the key that distinguishes a selector. */
function hasKey(key: string): (value: unknown) => boolean {
  return (value) =>
    typeof value === "object" && value !== null && Object.hasOwn(value, key);
}

const isText = (value: unknown) => typeof value === "string";

const selector: Rule<Selector> = choice<Selector>(
  'an address, or an object with "address", "path", "id" or "slot"',
  [isText, address],
  [
    hasKey("address"),
    object<AddressSelector>("an address", { address }, {
      title: "A function by its address",
      required: ["address"],
    }),
  ],
  [
    hasKey("path"),
    object<PathSelector>("a path", {
      path: text('a path such as "0000:00:1c.0/00.0"', PATH),
    }, {
      title: "A function by the bridges that lead to it",
      required: ["path"],
    }),
  ],
  [
    hasKey("id"),
    object<IdSelector>("an id", {
      id,
      serial: text(
        'a serial number such as "a0-36-9f-ff-ff-12-34-56"',
        SERIAL,
      ),
    }, {
      title: "A function by vendor, device and serial number",
      required: ["id"],
    }),
  ],
  [
    hasKey("slot"),
    object<SlotSelector>("a slot", {
      slot: text("the name of a slot", NAME),
      function: wholeNumber("a number from 0 to 7", 0, 7),
    }, { title: "A function by its slot", required: ["slot"] }),
  ],
);

const pin: Rule<Pin> = object<Pin>("something to compare", {
  id,
  subsystem: text("a subsystem's vendor and device", ID),
  revision: wholeNumber("a number from 0 to 255", 0, 255),
  group: list("the ids of the group's functions", id, { least: 1 }),
}, {
  title: "The hardware that it must be; if not, nothing is done",
  least: 1,
});

const node: Rule<NodeState> = object<NodeState>("an owner, a group or a mode", {
  owner: either(
    "a user's name or id",
    text("a user's name", USER),
    wholeNumber("a user's id", 0, MAX_ID),
  ),
  group: either(
    "a group's name or id",
    text("a group's name", USER),
    wholeNumber("a group's id", 0, MAX_ID),
  ),
  mode: text('permission bits in octal such as "0660"', MODE),
}, { title: "Who may open the device's VFIO nodes", least: 1 });

/** The names in `drivers/pci/pci.c`, `pci_reset_fn_methods`. */
const METHODS = [
  "device_specific",
  "acpi",
  "flr",
  "af_flr",
  "pm",
  "bus",
  "cxl_bus",
] as const satisfies readonly ResetMethod[];

const driver: Rule<string | null> = described(
  "The driver that it is bound to; null for none",
  orNull("a name or null", text("a name", NAME)),
);
const reset: Rule<readonly ResetMethod[]> = described(
  "The ways in which the kernel may reset it, the preferred first",
  list<ResetMethod>(
    "a list of reset methods",
    oneOf(`one of ${METHODS.join(", ")}`, METHODS),
    { least: 1, unique: true },
  ),
);
const idleD3: Rule<false | "hot" | "cold"> = described(
  "Whether it may sleep while nobody uses it: never, in D3hot, also in D3cold",
  oneOf('false, "hot" or "cold"', [false, "hot", "cold"]),
);
const virtualIdleD3: Rule<false | "hot"> = described(
  "Whether it may sleep while nobody uses it: never, in D3hot",
  oneOf('false or "hot"', [false, "hot"]),
);
const rom: Rule<string> = described(
  "The file that holds a copy of its expansion ROM",
  text('an absolute path such as "/var/lib/roms/card.rom"', FILE),
);
const vlan: Rule<number> = described(
  "The VLAN that the network card keeps it in; 0 for none",
  wholeNumber("a number from 0 to 4094", 0, 4094),
);
const mac: Rule<string> = described(
  "Its MAC address, which the network card's driver sets",
  text('the MAC address of one device such as "52:54:00:12:34:56"', MAC),
);
const ofEach = { driver, reset, idleD3: virtualIdleD3, node, vlan };

const virtualFunction: Rule<VirtualFunctionState> = object<
  VirtualFunctionState
>("what one virtual function should be", { ...ofEach, mac }, {
  title: "What one virtual function has differently",
});

const virtualFunctions: Rule<VirtualFunctionsState> = object<
  VirtualFunctionsState
>("virtual functions", {
  count: wholeNumber("a number from 0 to 65535", 0, MAX_VIRTUAL),
  ...ofEach,
  overrides: record(
    "an object by the virtual functions' numbers",
    {
      expected: 'the number of a virtual function such as "0"',
      pattern: INDEX,
    },
    virtualFunction,
  ),
}, { title: "The virtual functions that it should have", required: ["count"] });

const functionState: Rule<FunctionState> = object<FunctionState>(
  "a function",
  {
    select: selector,
    pin,
    driver,
    group: described(
      "What happens to the other endpoints of its IOMMU group",
      oneOf('"refuse" or "all endpoints"', ["refuse", "all endpoints"]),
    ),
    virtualFunctions,
    reset,
    idleD3,
    rom,
    node,
    interrupts: INTERRUPTS,
  },
  {
    title: "The desired state of a PCI function",
    required: ["select"],
    jointRule: {
      schema: {
        if: { required: ["group"] },
        then: {
          required: ["driver"],
          properties: {
            driver: { type: "string", pattern: VFIO_DRIVER.source },
          },
        },
      },
      check({ group, driver }: FunctionState, at: string) {
        if (group === undefined || driver && isVfioDriver(driver)) return;
        throw mismatch(`${at}.group`, "a VFIO driver beside it", driver);
      },
    },
  },
);

const mediated: Rule<MediatedState> = object<MediatedState>(
  "a mediated device",
  {
    uuid: text("a UUID", UUID),
    parent: choice<Selector>(
      "a function, or a path below /sys/devices",
      [
        (value) => isText(value) && String(value).startsWith("/"),
        text(
          "a path below /sys/devices",
          /^\/sys\/devices(\/([^/.]|\.[^/.])[^/]*)+$/,
        ),
      ],
      [() => true, selector],
    ),
    type: text("the name of a type", NAME),
    node,
  },
  {
    title: "A mediated device that should exist",
    required: ["uuid", "parent", "type"],
  },
);

const hugePages: Rule<HugePagesState> = object<HugePagesState>("huge pages", {
  size: text('a size such as "2M"', SIZE),
  count: wholeNumber("a number from 0 on", 0, 2 ** 31),
  numaNode: wholeNumber("the number of a NUMA node", 0, 1023),
}, {
  title: "Huge pages that should be reserved",
  required: ["size", "count"],
});

const VERSION = /^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$/;

const handoff: Rule<HandoffState> = object<HandoffState>("a file", {
  format: oneOf<readonly HandoffFormat[]>(
    "the name of a format",
    HANDOFF_FORMATS,
  ),
  path: text('an absolute path such as "/etc/cdi/gpu.json"', FILE),
  functions: list("a list of functions", selector, { least: 1 }),
  mediated: list("a list of UUIDs", text("a UUID", UUID), { least: 1 }),
  iommufd: oneOf("true or false", [true, false]),
  managed: oneOf("true or false", [true, false]),
  name: text("a name", /^[A-Za-z0-9_][A-Za-z0-9_.\/-]{0,252}$/),
  node: text("the name of a host", /^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/),
  consumer: text('a version such as "9.0"', VERSION),
  command: list("the words of a command", text("a word"), { least: 1 }),
}, {
  title: "A file that hands devices over",
  required: ["format", "path"],
});

/** The rule for a desired state. */
export const STATE: Rule<DesiredState> = object<DesiredState>("an object", {
  $schema: text("the name of a schema"),
  functions: described(
    "PCI functions, each once",
    list("a list of functions", functionState),
  ),
  modules: MODULES,
  commandLine: COMMAND_LINE,
  moduleOptions: MODULE_OPTIONS,
  isolation: ISOLATION,
  mediated: described(
    "Mediated devices, each once",
    list("a list of mediated devices", mediated),
  ),
  hugePages: described(
    "Reserved huge pages, each size and NUMA node once",
    list("a list of huge pages", hugePages),
  ),
  memoryLimit: described(
    "How much memory a user's processes may lock, by the user's name or id",
    record(
      "an object by users' names",
      { expected: "the name or the id of a user", pattern: USER },
      choice<string>(
        'a size such as "8G", or "unlimited"',
        [(value) => value === "unlimited", oneOf("", ["unlimited"])],
        [() => true, text('a size such as "8G", or "unlimited"', SIZE)],
      ),
    ),
  ),
  handoff: described(
    "Files that hand devices over, each path once",
    list("a list of files", handoff),
  ),
}, {
  title: "The desired state of a host",
  // A JSON schema has no words for it.
  jointRule: { schema: {}, check: assertUniqueMacs },
});
