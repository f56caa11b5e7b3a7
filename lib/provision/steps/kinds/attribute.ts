/**
 * Steps that write attributes: a reset method, a power policy, huge pages.
 *
 * @module
 */

import { VfioError } from "../../../errors.ts";
import { hasErrno } from "../../../kernel/errno.ts";
import { exclusively } from "../../../host/driver/exclusive.ts";
import { basename } from "../../../host/path.ts";
import { sysfsError, withoutNewline } from "../../../host/sysfs.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import type { AttributeStep } from "../step.ts";
import { changed, late, type StepKind, type Work } from "../kind.ts";

/** Steps that write an attribute. They capture the text that it had. */
export const attributeKind: StepKind<AttributeStep, string> = {
  async holds(work, { path, value, device }) {
    return await read(work, path, device) === value;
  },

  capture: (work, { path, device }) => read(work, path, device),

  async make(work, { path, value, device }) {
    await write(work, path, value, device);
    const now = await read(work, path, device);
    if (now === value) return;
    const problem = `${path} is ${now} after ${value} was written to it`;
    if (basename(path) !== "nr_hugepages") {
      throw new VfioError("NOT_SUPPORTED", {
        device,
        problem,
        hint: "the kernel has taken a part of it",
      });
    }
    // The kernel reserves only as many huge pages as there is memory for.
    throw new VfioError("NO_MEMORY", {
      device,
      problem,
      hint: "reserve huge pages early, before memory is fragmented",
    });
  },

  async undo(work, { path, value, device }, before, made) {
    const now = await readIfThere(work, path, device);
    if (now === undefined || now === before) return;
    if (made && now !== value) {
      throw changed(device, `${path} was changed to ${now}`);
    }
    await write(work, path, before, device);
  },
};

/**
 * Reads an attribute, without the newline at its end.
 *
 * @param work The host and the deadline.
 * @param path The attribute.
 * @param device The device it belongs to.
 */
export async function read(
  work: Work,
  path: string,
  device: string | undefined,
): Promise<string> {
  try {
    return await readText(work, path, device);
  } catch (error) {
    throw sysfsError(error, device);
  }
}

/** Reads an attribute; `undefined` where it does not exist. */
export async function readIfThere(
  work: Work,
  path: string,
  device: string | undefined,
): Promise<string | undefined> {
  try {
    return await readText(work, path, device);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ENODEV")) return undefined;
    throw sysfsError(error, device);
  }
}

/**
 * Attributes whose read waits for the device's lock, so for whoever moves it:
 * `driver_override` before Linux 7.0, and `sriov_numvfs_show()` in
 * `drivers/pci/iov.c`.
 */
const LOCKED: ReadonlySet<string> = new Set([
  "driver_override",
  "sriov_numvfs",
]);

async function readAttribute(kernel: Kernel, path: string): Promise<string> {
  return LOCKED.has(basename(path))
    ? await kernel.readFileAsync(path)
    : kernel.readFile(path);
}

async function readText(
  work: Work,
  path: string,
  device: string | undefined,
): Promise<string> {
  const text = await inTurn(
    work,
    path,
    () => readAttribute(work.host.kernel, path),
    () => late(device, `${path} could not be read`, work.deadline),
  );
  // An empty list, such as that of reset methods, is an empty file.
  return text === "" ? text : withoutNewline(path, text);
}

/**
 * Writes an attribute.
 *
 * @param work The host and the deadline.
 * @param path The attribute.
 * @param text The text to write.
 * @param device The device it belongs to.
 */
export async function write(
  work: Work,
  path: string,
  text: string,
  device: string | undefined,
): Promise<void> {
  try {
    await inTurn(
      work,
      path,
      // An empty write never reaches the kernel.
      () => work.host.kernel.writeFileAsync(path, text === "" ? "\n" : text),
      () => late(device, `the write to ${path} did not finish`, work.deadline),
    );
  } catch (error) {
    throw sysfsError(error, device);
  }
}

/** Accesses an attribute, after an earlier access that timed out is over. */
async function inTurn<T>(
  { host: { kernel }, deadline }: Work,
  path: string,
  access: () => Promise<T>,
  tooLate: () => VfioError,
): Promise<T> {
  return await exclusively(kernel, path, deadline, tooLate, async (turn) => {
    const pendingAccess = access();
    turn.keep(pendingAccess);
    return await deadline.wait(pendingAccess, tooLate);
  });
}
