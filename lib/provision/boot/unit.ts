/**
 * The contents of the files that apply a state at boot.
 *
 * @module
 */

import { hex } from "../../hex.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import type { DesiredState } from "../state/state.ts";
import type { FileStep, LinkStep } from "../steps/step.ts";
import { quoteWord } from "../../handoff/formats/systemd.ts";

/** A function that its own driver must not bind at boot. */
export interface ReservedFunction {
  /** Its address. */
  readonly address: string;
  /** Vendor id, 16 bits. Another card at this address does not match. */
  readonly vendor: number;
  /** Device id, 16 bits. */
  readonly device: number;
  /** The driver that it is reserved for. */
  readonly driver: string;
}

/** The contents of a unit. */
export interface UnitOptions {
  /** The name of the state, which the unit and its files get. */
  readonly name: string;
  /** The state. */
  readonly state: DesiredState;
  /** The words of the `passthru` command. The first is an absolute path. */
  readonly command: readonly string[];
  /** The functions that their own drivers must not bind. */
  readonly reserved: readonly ReservedFunction[];
  /** Whether another unit keeps the host at the state. Default: false. */
  readonly watch?: boolean;
}

/**
 * The units that use devices. Those that are installed start after this one.
 */
const USERS: readonly string[] = [
  "libvirtd.service",
  "libvirt-guests.service",
  "virtqemud.service",
  "pve-guests.service",
  "containerd.service",
  "docker.service",
  "crio.service",
  "kubelet.service",
  "multi-user.target",
];

/** How long the unit may take, in seconds. */
const TIMEOUT = 300;

/**
 * Makes the steps that write the files, in order. The unit is enabled last,
 * when everything that it needs is there.
 *
 * @param options The contents of the unit.
 */
export function unitFiles(options: UnitOptions): (FileStep | LinkStep)[] {
  const { name, state, reserved, watch = false } = options;
  const unit = unitPath(name);
  const modules = modulesOf(state);
  const file = (path: string, text: string, why: string): FileStep => ({
    kind: "file",
    path,
    text,
    why,
  });
  return [
    file(
      statePath(name),
      `${JSON.stringify(state, null, 2)}\n`,
      "what the host should be",
    ),
    ...modules.length === 0 ? [] : [
      file(
        `/etc/modules-load.d/passthru-${name}.conf`,
        `${modules.join("\n")}\n`,
        "nothing else loads these drivers",
      ),
    ],
    ...reserved.length === 0 ? [] : [
      file(
        `/etc/udev/rules.d/10-passthru-${name}.rules`,
        udevRules(reserved),
        "a display's own driver never releases it",
      ),
    ],
    file(unit, unitText(options), "it applies the state at boot"),
    {
      kind: "link",
      path: `${WANTS}/${unitName(name)}`,
      target: unit,
      why: "it enables the unit",
    },
    ...watch
      ? [
        file(
          `${UNITS}/${watchName(name)}`,
          watchText(options),
          "it keeps the host at the state",
        ),
        {
          kind: "link",
          path: `${WANTS}/${watchName(name)}`,
          target: `${UNITS}/${watchName(name)}`,
          why: "it enables the unit",
        } satisfies LinkStep,
      ]
      : [],
  ];
}

const UNITS = "/etc/systemd/system";
const WANTS = `${UNITS}/multi-user.target.wants`;

/** The name of the unit that keeps the host at the state. */
export function watchName(name: string): string {
  // No name has a colon, so that it is not the unit of another name.
  return `passthru-${name}:watch.service`;
}

/** The name of the unit. */
export function unitName(name: string): string {
  return `passthru-${name}.service`;
}

function unitPath(name: string): string {
  return `${UNITS}/${unitName(name)}`;
}

function statePath(name: string): string {
  return `/etc/passthru/${name}.json`;
}

/**
 * Writes the text of a systemd unit that applies a state when it starts, and
 * restores the host when it stops.
 *
 * @param options The contents of the unit.
 */
export function unitText({ name, command }: UnitOptions): string {
  const run = runOf(command);
  return `[Unit]
Description=Device passthrough: ${name.replaceAll("%", "%%")}
ConditionPathExists=${statePath(name)}
# The drivers of the functions, which make virtual functions for example.
Wants=systemd-udev-settle.service
After=systemd-modules-load.service systemd-udev-settle.service
Before=${USERS.join(" ")}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=${run("apply", "--name", name, statePath(name))}
ExecStop=${run("restore", "--name", name, "--keep-boot")}
TimeoutStartSec=${TIMEOUT}
TimeoutStopSec=${TIMEOUT}

[Install]
WantedBy=multi-user.target
`;
}

/**
 * Writes the text of a systemd unit that keeps the host at a state, while the
 * unit that applies it is started.
 *
 * @param options The contents of the unit.
 */
export function watchText({ name, command }: UnitOptions): string {
  const run = runOf(command);
  const path = statePath(name);
  return `[Unit]
Description=Device passthrough, kept: ${name.replaceAll("%", "%%")}
ConditionPathExists=${path}
Requires=${unitName(name)}
After=${unitName(name)}

[Service]
ExecStart=${run("apply", "--watch", "--json", "--name", name, path)}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
`;
}

function runOf(command: readonly string[]): (...args: string[]) => string {
  return (...args) => [...command, ...args].map(quoteWord).join(" ");
}

/**
 * Writes the text of udev rules that reserve functions for drivers, before any
 * driver is loaded for them.
 *
 * @param reserved The functions.
 */
export function udevRules(reserved: readonly ReservedFunction[]): string {
  return reserved.map(({ address, vendor, device, driver }) =>
    [
      'ACTION=="add"',
      'SUBSYSTEM=="pci"',
      `KERNEL=="${address}"`,
      `ATTR{vendor}=="${hex(vendor, 4)}"`,
      `ATTR{device}=="${hex(device, 4)}"`,
      `ATTR{driver_override}="${driver}"`,
    ].join(", ") + "\n"
  ).join("");
}

/** The VFIO drivers that a state names. udev does not load them by itself. */
function modulesOf({ functions = [] }: DesiredState): string[] {
  const named = functions.flatMap(({ driver, virtualFunctions }) => [
    driver,
    virtualFunctions?.driver,
    ...Object.values(virtualFunctions?.overrides ?? {})
      .map(({ driver }) => driver),
  ]);
  const drivers = named.filter((driver): driver is string =>
    typeof driver === "string" && isVfioDriver(driver)
  );
  return [...new Set(drivers)].sort();
}
