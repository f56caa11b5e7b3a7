/**
 * Loads and unloads modules, as kmod's programs do (`kernel/module/main.c`).
 *
 * @module
 */

import { basename } from "../../host/path.ts";
import type { ProgramResult } from "../../kernel/kernel.ts";
import type { Machine } from "../machine/machine.ts";
import { makeDriver } from "./drivers.ts";

/** A module that can be loaded. */
interface Loadable {
  readonly path: string;
  readonly needs: readonly string[];
}

const OK: ProgramResult = { status: 0, output: "" };

/**
 * `modprobe NAME`.
 *
 * @param machine The machine.
 * @param name The module.
 */
export function loadModule(machine: Machine, name: string): ProgramResult {
  const module = kernelName(name);
  if (hasModule(machine, module)) return OK;
  const loadable = loadables(machine);
  const found = loadable.get(module);
  if (found === undefined) {
    const directory = `/lib/modules/${machine.features.release}`;
    return {
      status: 1,
      output:
        `modprobe: FATAL: Module ${name} not found in directory ${directory}\n`,
    };
  }
  for (const needed of found.needs) {
    loadModule(machine, needed);
    machine.modules.get(needed)?.users.add(module);
  }
  machine.modules.set(module, {
    name: module,
    users: new Set(),
    ...driverOf(machine, found.path),
  });
  return OK;
}

/**
 * `rmmod NAME`.
 *
 * @param machine The machine.
 * @param name The module.
 */
export function unloadModule(machine: Machine, name: string): ProgramResult {
  const loaded = machine.modules.get(kernelName(name));
  const failed = (output: string) => ({ status: 1, output: `${output}\n` });
  if (loaded === undefined) {
    return failed(`rmmod: ERROR: Module ${name} is not currently loaded`);
  }
  if (loaded.users.size > 0) {
    const users = [...loaded.users].join(" ");
    return failed(`rmmod: ERROR: Module ${name} is in use by: ${users}`);
  }
  machine.modules.delete(loaded.name);
  for (const { users } of machine.modules.values()) users.delete(loaded.name);
  if (loaded.driver !== undefined) machine.drivers.delete(loaded.driver);
  return OK;
}

/** `/proc/modules`, the last loaded first. */
export function modulesText({ modules }: Machine): string {
  return [...modules.values()].reverse().map(({ name, users }) => {
    const names = users.size === 0 ? "-" : `${[...users].join(",")},`;
    return `${name} 16384 ${users.size} ${names} Live 0x0000000000000000\n`;
  }).join("");
}

function hasModule(machine: Machine, name: string): boolean {
  return machine.modules.has(name) ||
    [...machine.drivers.values()].some((driver) =>
      kernelName(driver.name) === name
    );
}

/** The driver that a module registers, where it has one of VFIO's for PCI. */
function driverOf(machine: Machine, path: string): { driver?: string } {
  const name = basename(path).split(".")[0]!;
  if (!path.includes("/vfio/pci/") || name.endsWith("core")) return {};
  const driver = `pci/${name}`;
  machine.drivers.set(driver, makeDriver("pci", name));
  return { driver };
}

/** The modules of `modules.dep`, by name. */
function loadables({ init, features }: Machine): Map<string, Loadable> {
  let text: string;
  try {
    text = init.readFile(`/lib/modules/${features.release}/modules.dep`);
  } catch {
    return new Map();
  }
  return new Map(
    text.split("\n").filter((line) => line !== "").map((line) => {
      const [path = "", needs = ""] = line.split(":");
      const needed = needs.split(" ").filter((each) => each !== "");
      // modprobe loads what the others need first: the last of the line.
      return [nameOf(path), { path, needs: needed.map(nameOf).reverse() }];
    }),
  );
}

function nameOf(path: string): string {
  return kernelName(basename(path).split(".")[0]!);
}

function kernelName(name: string): string {
  return name.replaceAll("-", "_");
}
