/**
 * Attributes: a reset method, a power policy, huge pages.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import { exclusively } from "../../host/driver/exclusive.ts";
import { sysfsError, withoutNewline } from "../../host/sysfs.ts";
import type { AttributeStep } from "./step.ts";
import { changed, late, type StepKind, type Work } from "./kind.ts";

/** Steps that write an attribute; before is what it read as. */
export const attributeKind: StepKind<AttributeStep, string> = {
  async holds(work, { path, value, device }) {
    return await read(work, path, device) === value;
  },

  capture: (work, { path, device }) => read(work, path, device),

  async make(work, { path, value, device }) {
    await write(work, path, value, device);
    const now = await read(work, path, device);
    if (now === value) return;
    // Huge pages: as many as there is memory for.
    throw new VfioError("NO_MEMORY", {
      device,
      problem: `${path} is ${now} after ${value} was written to it`,
      hint: "reserve huge pages early, before memory is in pieces",
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
 * The text of an attribute, without the newline at its end.
 *
 * @param work What it is read with.
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

/** The same, or `undefined` where there is no such attribute. */
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

async function readText(
  work: Work,
  path: string,
  device: string | undefined,
): Promise<string> {
  const text = await inTurn(
    work,
    path,
    () => work.host.kernel.readFileAsync(path),
    () => late(device, `${path} could not be read`, work.deadline),
  );
  // A list of nothing, such as that of reset methods, is an empty file.
  return text === "" ? text : withoutNewline(path, text);
}

/**
 * Writes an attribute.
 *
 * @param work What it is written with.
 * @param path The attribute.
 * @param text What is written.
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
      () => late(device, `the kernel was not done with ${path}`, work.deadline),
    );
  } catch (error) {
    throw sysfsError(error, device);
  }
}

/** Asks for something when what was given up on before is over. */
async function inTurn<T>(
  { host: { kernel }, deadline }: Work,
  path: string,
  ask: () => Promise<T>,
  tooLate: () => VfioError,
): Promise<T> {
  return await exclusively(kernel, path, deadline, tooLate, async (turn) => {
    const asked = ask();
    turn.keep(asked);
    return await deadline.wait(asked, tooLate);
  });
}
