/**
 * Steps that load modules.
 *
 * @module
 */

import { VfioError } from "../../../errors.ts";
import { basename } from "../../../host/path.ts";
import { exists, ifPresent, linkTarget, namesIn } from "../../../host/sysfs.ts";
import type { Kernel } from "../../../kernel/kernel.ts";
import { late, type StepKind, type Work } from "../kind.ts";
import { programPath, runProgram, untilNoneRuns } from "../programs.ts";
import type { ModuleStep } from "../step.ts";

const MODULES = "/sys/module";

/**
 * Steps that load a module. They capture the modules that loading it loads, by
 * `modules.dep`: itself first, then those that it needs.
 */
export const moduleKind: StepKind<ModuleStep, readonly string[]> = {
  holds({ host: { kernel } }, { name }) {
    return Promise.resolve(hasModule(kernel, name));
  },

  capture({ host: { kernel } }, { name }) {
    const all = [kernelName(name), ...neededBy(kernel, name) ?? []];
    return Promise.resolve(
      all.filter((each) => !exists(kernel, `${MODULES}/${each}`)),
    );
  },

  async make(work, { name }) {
    const { host: { kernel }, deadline } = work;
    await runProgram(work, [kmod(kernel, "modprobe"), name]);
    await deadline.until(
      () => hasModule(kernel, name) ? true : undefined,
      () => late(undefined, `the module ${name} did not appear`, deadline),
    );
  },

  async undo(work, _step, before, made) {
    const { host: { kernel } } = work;
    const modprobe = programPath(kernel, "modprobe");
    if (!made && modprobe !== undefined) await untilNoneRuns(work, modprobe);
    for (const [i, module] of before.entries()) {
      if (!exists(kernel, `${MODULES}/${module}`)) continue;
      // Somebody else has begun to use what was loaded with it.
      if (i > 0 && usersOf(kernel, module).length > 0) continue;
      await untilUnused(work, module);
      await runProgram(work, [kmod(kernel, "rmmod"), module]);
    }
  },
};

/** The path of a program of kmod's. */
function kmod(kernel: Kernel, name: string): string {
  const path = programPath(kernel, name);
  if (path !== undefined) return path;
  throw new VfioError("NOT_SUPPORTED", {
    problem: `this host has no ${name}`,
    hint: "install kmod",
  });
}

/**
 * Refuses a module that this host cannot load.
 *
 * @param kernel The system.
 * @param name The module.
 * @param at Its place in the state, for errors.
 * @throws {VfioError} `NOT_SUPPORTED`
 */
export function assertLoadable(
  kernel: Kernel,
  name: string,
  at: string,
): void {
  kmod(kernel, "modprobe");
  kmod(kernel, "rmmod");
  if (neededBy(kernel, name) !== undefined) return;
  if (!exists(kernel, `${directoryOf(kernel)}/modules.dep`)) return;
  throw new VfioError("NOT_SUPPORTED", {
    problem: `this kernel has no module ${name} (${at})`,
    hint: `it is not in ${directoryOf(kernel)}/modules.dep`,
  });
}

/**
 * Whether the kernel has a module, loaded or built in.
 *
 * @param kernel The system.
 * @param name The module, as modprobe takes it.
 */
export function hasModule(kernel: Kernel, name: string): boolean {
  const module = kernelName(name);
  return exists(kernel, `${MODULES}/${module}`) ||
    linesOf(kernel, "modules.builtin").some((path) => nameOf(path) === module);
}

/** The name of a module, as the kernel has it: `"vfio_pci"`. */
export function kernelName(module: string): string {
  return module.replaceAll("-", "_");
}

/**
 * The modules that a module needs, those that need others first; `undefined`
 * where `modules.dep` does not have it.
 */
function neededBy(kernel: Kernel, name: string): string[] | undefined {
  const module = kernelName(name);
  const line = linesOf(kernel, "modules.dep")
    .find((line) => nameOf(line.split(":")[0]!) === module);
  if (line === undefined) return undefined;
  const [, needed = ""] = line.split(":");
  return needed.split(" ").filter((path) => path !== "").map(nameOf);
}

function linesOf(kernel: Kernel, file: string): string[] {
  const path = `${directoryOf(kernel)}/${file}`;
  return (ifPresent(() => kernel.readFile(path)) ?? "").split("\n")
    .filter((line) => line !== "");
}

function directoryOf(kernel: Kernel): string {
  const release = kernel.readFile("/proc/sys/kernel/osrelease").trim();
  return `/lib/modules/${release}`;
}

function nameOf(path: string): string {
  return kernelName(basename(path).split(".")[0]!);
}

/** Waits until nothing uses a module: rmmod would take a driver's devices. */
async function untilUnused(work: Work, module: string): Promise<void> {
  const { host: { kernel }, deadline } = work;
  await deadline.until(
    () => usersOf(kernel, module).length === 0 ? true : undefined,
    () =>
      new VfioError("DEVICE_BUSY", {
        problem: `the module ${module} is used by ` +
          usersOf(kernel, module).join(", "),
        hint: "restore again once nothing uses it",
      }),
  );
}

/** What uses a module: other modules, devices, or processes. */
function usersOf(kernel: Kernel, module: string): string[] {
  const path = `${MODULES}/${module}`;
  const modules = namesIn(kernel, `${path}/holders`);
  const devices = namesIn(kernel, `${path}/drivers`).flatMap((driver) => {
    const directory = linkTarget(kernel, `${path}/drivers/${driver}`);
    if (directory === undefined) return [];
    return namesIn(kernel, directory).filter((name) =>
      linkTargetOrNone(kernel, `${directory}/${name}`)
        ?.startsWith("/sys/devices/")
    );
  });
  if (modules.length + devices.length > 0) return [...modules, ...devices];
  const count = ifPresent(() => kernel.readFile(`${path}/refcnt`))?.trim();
  return count === undefined || Number(count) === 0 ? [] : [`${count} others`];
}

function linkTargetOrNone(kernel: Kernel, path: string): string | undefined {
  try {
    return linkTarget(kernel, path);
  } catch {
    // It is a file.
    return undefined;
  }
}
