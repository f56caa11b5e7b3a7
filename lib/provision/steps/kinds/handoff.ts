/**
 * Steps that write files by which devices are handed over.
 *
 * What is in a file depends on how the devices are once they are bound, such as
 * on the numbers of their nodes, so it is written as the step is made.
 *
 * @module
 */

import { emit } from "../../../handoff/emit.ts";
import type { Host } from "../../../host/host.ts";
import {
  captureEntry,
  type FileBefore,
  isEntry,
  makeEntry,
  textEntry,
  undoEntry,
} from "./file.ts";
import type { StepKind } from "../kind.ts";
import type { HandoffStep } from "../step.ts";

/** What is known of a file that was written. */
interface Written {
  /** Its text. */
  readonly text: string;
}

/** Steps that write files by which devices are handed over. */
export const handoffKind: StepKind<HandoffStep, FileBefore, Written> = {
  holds({ host }, step) {
    return Promise.resolve(
      isEntry(host.kernel, step.path, textEntry(handoffText(host, step))),
    );
  },

  capture({ host: { kernel } }, { path }) {
    return Promise.resolve(captureEntry(kernel, path));
  },

  make({ host }, step, before) {
    const text = handoffText(host, step);
    makeEntry(host.kernel, step.path, textEntry(text), before);
    return Promise.resolve({ text });
  },

  undo({ host: { kernel } }, step, before, _made, result) {
    const made = result === undefined ? undefined : textEntry(result.text);
    undoEntry(kernel, step, before, made);
    return Promise.resolve();
  },
};

/**
 * The text of a file, with the devices as they are now.
 *
 * @throws {VfioError} The errors of `emit`.
 */
function handoffText(
  host: Host,
  { format, devices, options }: HandoffStep,
): string {
  const found = devices.map((name) => host.find(handoffTarget(name)));
  return emit(format, found, options).text;
}

/** What `Host.find` takes for the name of a device in a step. */
export function handoffTarget(name: string): string {
  return /^[0-9a-f]{8}-/.test(name) ? `/sys/bus/mdev/devices/${name}` : name;
}
