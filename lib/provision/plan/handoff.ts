/**
 * Plans the files by which devices are handed over.
 *
 * @module
 */

import { emitHanded } from "../../handoff/emit.ts";
import { type Handed, handedLater, handedNow } from "../../handoff/handed.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import type { Host } from "../../host/host.ts";
import { formatPciAddress, parsePciAddress } from "../../pci/address.ts";
import { exists } from "../../host/sysfs.ts";
import { isEntry, textEntry } from "../steps/kinds/file.ts";
import { handoffTarget } from "../steps/kinds/handoff.ts";
import { select } from "../state/selector.ts";
import type { HandoffState, MediatedState, Selector } from "../state/state.ts";
import type { HandoffStep } from "../steps/step.ts";
import { moves } from "./attributes.ts";
import type { Target } from "./target.ts";

/** What the other entries of a state are planned to be. */
export interface Planned {
  /** Its functions, also those that do not exist yet. */
  readonly targets: readonly Target[];
  /** The mediated devices of the state. */
  readonly mediated: readonly MediatedState[];
  /** The functions that are removed first, and made again. */
  readonly gone: ReadonlySet<string>;
}

/**
 * Plans the files to write. What a format cannot express is refused, as far as
 * the devices exist.
 *
 * @param host The host.
 * @param states The files of the state.
 * @param planned What the devices are planned to be.
 * @throws {TypeError} When a path is given twice, or there is no device.
 * @throws {VfioError} What `emit` throws for the devices as they will be.
 */
export function handoffSteps(
  host: Host,
  states: readonly HandoffState[],
  planned: Planned,
): HandoffStep[] {
  const seen = new Map<string, string>();
  return states.flatMap((state, i) => {
    const at = `handoff[${i}]`;
    const { format, path, functions, mediated, ...options } = state;
    const earlier = seen.get(path);
    if (earlier !== undefined) {
      throw new TypeError(`${earlier} and ${at} are both ${path}`);
    }
    seen.set(path, at);
    const devices = functions === undefined && mediated === undefined
      ? allDevices(planned)
      : [
        ...(functions ?? []).map((selector, j) =>
          addressOf(host, selector, planned, `${at}.functions[${j}]`)
        ),
        ...(mediated ?? []).map((uuid) => uuid.toLowerCase()),
      ];
    if (devices.length === 0) {
      throw new TypeError(
        `${at}: the state gives no device to a VFIO driver: expected functions`,
      );
    }
    const found = devices.map((name) => handedOf(host, name, planned));
    const step: HandoffStep = {
      kind: "handoff",
      path,
      format,
      devices,
      options,
      why: "",
    };
    const handed = found.filter((each) => each !== undefined);
    if (handed.length < devices.length) {
      return [{ ...step, why: "its devices do not exist yet" }];
    }
    const { text } = emitHanded(
      format,
      handed.map(({ handed }) => handed),
      options,
    );
    if (handed.some(({ changes }) => changes)) {
      return [{ ...step, why: "its devices change" }];
    }
    if (isEntry(host.kernel, path, textEntry(text))) return [];
    const why = exists(host.kernel, path)
      ? "something else is in it"
      : "there is no such file";
    return [{ ...step, why }];
  });
}

/** The devices of a state that are for user space. */
function allDevices({ targets, mediated }: Planned): string[] {
  const functions = targets.filter(({ state: { driver } }) =>
    typeof driver === "string" && isVfioDriver(driver)
  );
  return [
    ...functions.map(({ address }) => address),
    ...mediated.map(({ uuid }) => uuid.toLowerCase()),
  ];
}

/** The address that a selector selects, also of a function to be made. */
function addressOf(
  host: Host,
  selector: Selector,
  { targets }: Planned,
  at: string,
): string {
  const text = typeof selector === "string"
    ? selector
    : "address" in selector
    ? selector.address
    : undefined;
  if (text !== undefined) {
    const address = formatPciAddress(parsePciAddress(text));
    if (targets.some((target) => target.address === address)) return address;
  }
  return select(host, selector, at).address;
}

/** A device as it will be; `undefined` where it does not exist yet. */
function handedOf(
  host: Host,
  name: string,
  { targets, mediated, gone }: Planned,
): { readonly handed: Handed; readonly changes: boolean } | undefined {
  if (gone.has(name)) return undefined;
  const target = targets.find(({ address }) => address === name);
  if (target !== undefined && target.fn === undefined) return undefined;
  if (target?.fn !== undefined && moves(target)) {
    const driver = target.state.driver ?? undefined;
    return { handed: handedLater(target.fn, driver), changes: true };
  }
  const isMade = mediated.some(({ uuid }) => uuid.toLowerCase() === name);
  const path = handoffTarget(name);
  if (isMade && !exists(host.kernel, path)) return undefined;
  return { handed: handedNow(host.find(path)), changes: false };
}
