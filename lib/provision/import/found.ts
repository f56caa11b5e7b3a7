/**
 * What an import has found.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { isBridgeClass } from "../../host/driver/vfio_driver.ts";
import type { Host } from "../../host/host.ts";
import { orFileError } from "../../host/journal/file_error.ts";
import type { PciFunction } from "../../host/pci/function.ts";
import { ifPresent, namesIn } from "../../host/sysfs.ts";
import { pinOf } from "../state/pin.ts";
import type {
  DesiredState,
  FunctionState,
  MediatedState,
} from "../state/state.ts";
import { functionIfThere } from "../steps/functions.ts";

/** A state that does what another tool does, and what it does not do. */
export interface Imported {
  /** The state. */
  readonly state: DesiredState;
  /** What could not be carried over, or has to be done, a sentence each. */
  readonly notes: readonly string[];
}

/** Collects what is found in the files of another tool. */
export class Found {
  /** The host. */
  readonly host: Host;
  readonly #functions = new Map<string, FunctionState>();
  readonly #mediated = new Map<string, MediatedState>();
  readonly #notes = new Set<string>();

  /** Has found nothing yet. */
  constructor(host: Host) {
    this.host = host;
  }

  /** Notes what cannot be carried over. */
  note(sentence: string): void {
    this.#notes.add(sentence);
  }

  /**
   * Takes a function by its address.
   *
   * @param address A whole address.
   * @param driver Its driver, `null` for none.
   * @param where The file that says so.
   * @param more What else is said of it.
   */
  function(
    address: string,
    driver: string | null,
    where: string,
    more: Pick<FunctionState, "idleD3"> = {},
  ): void {
    const fn = functionIfThere(this.host, address);
    if (fn === undefined) {
      this.note(`${where}: this host has no ${address}`);
      return;
    }
    this.take(fn, driver, where, more);
  }

  /** Takes a function of this host. */
  take(
    fn: PciFunction,
    driver: string | null,
    where: string,
    more: Pick<FunctionState, "idleD3"> = {},
  ): void {
    const { address } = fn;
    if (isBridgeClass(fn.class)) {
      this.note(`${where}: ${address} is a bridge, which no VFIO driver takes`);
      return;
    }
    const earlier = this.#functions.get(address);
    if (earlier !== undefined && earlier.driver !== driver) {
      this.note(
        `${where}: it gives ${address} to ${driver ?? "no driver"}, and ` +
          `another file to ${earlier.driver ?? "no driver"}, which is kept`,
      );
      return;
    }
    if (fn.physicalFunction !== undefined) {
      this.note(
        `${address} is a virtual function: say how many ` +
          `${fn.physicalFunction.address} should have, in virtualFunctions`,
      );
    }
    this.#functions.set(address, {
      select: address,
      pin: pinOf(fn),
      driver,
      ...earlier,
      ...more,
    });
  }

  /** Takes a mediated device. */
  mediated(device: MediatedState): void {
    this.#mediated.set(device.uuid, device);
  }

  /** The state, and the notes. */
  result(): Imported {
    const functions = [...this.#functions.values()];
    const mediated = [...this.#mediated.values()];
    return {
      state: {
        ...functions.length > 0 && { functions },
        ...mediated.length > 0 && { mediated },
      },
      notes: [...this.#notes],
    };
  }
}

/** A file, with its text. */
export interface TextFile {
  /** Its path. */
  readonly path: string;
  /** Its text. */
  readonly text: string;
}

/**
 * Reads the files of a directory, in order.
 *
 * @param host The host.
 * @param directory The directory.
 * @param isWanted Whether a file is read, by its name.
 * @throws {VfioError} `PERMISSION_DENIED`.
 */
export function filesIn(
  { kernel }: Host,
  directory: string,
  isWanted: (name: string) => boolean,
): TextFile[] {
  const names = orFileError(() => namesIn(kernel, directory), directory);
  return names.filter(isWanted).sort().flatMap((name) => {
    const path = `${directory}/${name}`;
    const text = orFileError(
      () => ifPresent(() => kernel.readFile(path)),
      path,
    );
    return text === undefined ? [] : [{ path, text }];
  });
}

/**
 * The error for a tool that has nothing here.
 *
 * @param tool The tool.
 * @param places Where it would have files.
 */
export function nothingThere(tool: string, places: string): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    problem: `${tool} has nothing to import here: there is no ${places}`,
    hint: "run this on the host that it is configured on, as root",
  });
}
