/**
 * What a test in a guest can know about its machine. Imports nothing from the
 * host's side, so that a guest loads little.
 *
 * @module
 */
import type { IommuName } from "./iommus.ts";

/** The machine a test runs in. */
export interface MachineInfo {
  /** Its name, for example `testbed`. */
  readonly name: string;
  /** Its kernel: `testbed`, `debian-6.1` or `debian-6.12`. */
  readonly kernel: string;
  /** The IOMMU it has. */
  readonly iommu: IommuName | "none";
  /** The backends that work in it. */
  readonly backends: readonly ("legacy" | "iommufd")[];
  /** Device name to PCI address, for example `edu0` to `0000:00:03.0`. */
  readonly devices: Readonly<Record<string, string>>;
}

/**
 * The machine this process runs in.
 *
 * @returns The machine, or `undefined` outside a guest.
 *
 * @example
 * ```ts
 * import { currentMachine } from "./machine_env.ts";
 *
 * const edu0 = currentMachine()?.devices.edu0;
 * ```
 */
export function currentMachine(): MachineInfo | undefined {
  return environmentValue<MachineInfo>("PASSTHRU_MACHINE");
}

/**
 * The PCI address of one of a machine's functions.
 *
 * @param machine The machine.
 * @param name What it calls the function.
 */
export function addressIn({ devices }: MachineInfo, name: string): string {
  const address = devices[name];
  if (address === undefined) throw new RangeError(`There is no "${name}"`);
  return address;
}

/** The environment variable that is set when every kernel runs all tests. */
export const EVERYTHING = "PASSTHRU_EVERYTHING";

/**
 * Whether a test tries all cases. On an older kernel it tries a sample where
 * that does the same as the newest.
 *
 * @param machine The machine that the test runs in.
 */
export function triesAll({ kernel }: MachineInfo): boolean {
  return kernel === "testbed" || Deno.env.has(EVERYTHING);
}

/**
 * A QEMU of version 10 or later that this process can run.
 *
 * @returns The program and its first arguments, or `undefined` outside a guest.
 */
export function guestQemu():
  | { readonly program: string; readonly args: readonly string[] }
  | undefined {
  return environmentValue("PASSTHRU_QEMU");
}

function environmentValue<T>(variable: string): T | undefined {
  // Tests outside of a machine run without any permission.
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  const text = state === "granted" ? Deno.env.get(variable) : undefined;
  return text === undefined ? undefined : JSON.parse(text) as T;
}
