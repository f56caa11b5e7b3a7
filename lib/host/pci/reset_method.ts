/**
 * The way in which the kernel resets a PCI function, chosen for one reset.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { sysfsError } from "../sysfs.ts";
import type { PciFunction } from "./function.ts";

/**
 * Does something while the kernel resets a function by one method only, and
 * sets its methods back (`reset_method_store()` in `drivers/pci/pci-sysfs.c`).
 *
 * A process that is killed meanwhile leaves the one method. The kernel keeps it
 * until the function is removed or the host is booted; writing `default` to
 * `reset_method` sets it back.
 *
 * @param fn The function.
 * @param method One of `PciFunction.resetMethods`.
 * @param reset Resets it.
 * @throws {VfioError} `NOT_SUPPORTED` when the function lacks the method,
 * `PERMISSION_DENIED`, `RESTORE_INCOMPLETE` when its methods could not be set
 * back, and what `reset` throws.
 */
export async function withResetMethod<T>(
  fn: PciFunction,
  method: string,
  reset: () => Promise<T>,
): Promise<T> {
  const before = fn.resetMethods;
  if (!before.includes(method)) throw lacksMethod(fn, method, before);
  if (before.length === 1) return await reset();
  setMethods(fn, method);
  let result: T;
  try {
    result = await reset();
  } catch (error) {
    setBack(fn, before);
    throw error;
  }
  const failed = setBack(fn, before);
  if (failed !== undefined) throw failed;
  return result;
}

/** The error for a method that a function lacks. */
function lacksMethod(
  fn: PciFunction,
  method: string,
  methods: readonly string[],
): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device: fn.address,
    problem: `the kernel cannot reset it by ${method}`,
    hint: methods.length === 0
      ? "before Linux 5.15 the method cannot be chosen"
      : `the kernel can reset it by ${methods.join(", ")}`,
  });
}

function pathOf(fn: PciFunction): string {
  return `${fn.path}/reset_method`;
}

function setMethods(fn: PciFunction, methods: string): void {
  try {
    fn.host.kernel.writeFile(pathOf(fn), methods);
  } catch (error) {
    throw sysfsError(error, fn.address);
  }
}

/** Sets the methods back, and returns the error where that fails. */
function setBack(
  fn: PciFunction,
  before: readonly string[],
): VfioError | undefined {
  const methods = before.join(" ");
  try {
    setMethods(fn, methods);
    return undefined;
  } catch {
    // Linux refuses it only when it lacks memory, which passes.
  }
  try {
    setMethods(fn, methods);
    return undefined;
  } catch (cause) {
    return new VfioError("RESTORE_INCOMPLETE", {
      device: fn.address,
      problem: "it was reset, but its reset methods could not be set back",
      hint: `echo ${methods} > ${pathOf(fn)}`,
      cause,
    });
  }
}
