/**
 * Mediated devices of the kernel's samples, for tests.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import type { HostDevice } from "../../mod.ts";
import { answerOf } from "./answer.ts";
import type { Sample } from "./bench.ts";
import type { Setup } from "./setup.ts";

/** The name of the device that {@linkcode mediated} makes. */
export const MEDIATED_UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

/** A mediated device, until it is disposed of. */
export interface Mediated extends AsyncDisposable {
  /** The device. */
  readonly device: HostDevice;
}

/** The folder of a type, such as `"mtty-1"`, in sysfs. */
export function typePath(type: string): string {
  const sample = sampleOf(type);
  return `/sys/devices/virtual/${sample}/${sample}/mdev_supported_types/${type}`;
}

/** Writes to a file of sysfs, and returns the answer. */
export function writeSysfs(
  { kernel }: Setup,
  path: string,
  text: string,
): Promise<string | void> {
  return answerOf(() => kernel.writeFileAsync(path, text));
}

/**
 * Makes a mediated device.
 *
 * @param setup The system.
 * @param type Its type.
 * @param uuid Its name. Default: {@linkcode MEDIATED_UUID}.
 */
export async function mediated(
  setup: Setup,
  type: string,
  uuid = MEDIATED_UUID,
): Promise<Mediated> {
  await setup.bench.loadSample(sampleOf(type));
  const create = `${typePath(type)}/create`;
  assertEquals(await writeSysfs(setup, create, uuid), undefined);
  const path = `/sys/bus/mdev/devices/${uuid}`;
  return {
    device: setup.host.find(path),
    [Symbol.asyncDispose]: async () => {
      // An open file would make it wait: attached devices are detached before.
      setup.closeAll();
      await writeSysfs(setup, `${path}/remove`, "1");
    },
  };
}

function sampleOf(type: string): Sample {
  return type.split("-")[0] as Sample;
}
