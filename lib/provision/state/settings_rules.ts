/**
 * The rules for modules, the kernel's command line and processors.
 *
 * @module
 */

import {
  choice,
  described,
  list,
  object,
  oneOf,
  record,
  type Rule,
  text,
} from "../../rule.ts";
import type { IsolationState, ModuleOptions } from "./state.ts";

/** A list of processors, as the kernel writes it. */
const CPUS = /^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$/;
/** A name that begins with a hyphen would be an option of modprobe. */
const MODULE = /^[A-Za-z0-9_][A-Za-z0-9_-]*$/;
/** Neither spaces nor what a shell or modprobe reads in a special way. */
const WORD = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(=[A-Za-z0-9_.,:;@%+\/=-]+)?$/;
const OPTION = /^[A-Za-z0-9_.,:;@%+\/=-]+$/;
const SLICE = /^[A-Za-z0-9][A-Za-z0-9_.-]*\.slice$/;

/** The processors that a function's interrupts go to. */
export const INTERRUPTS: Rule<string> = described(
  "The processors that its interrupts go to",
  choice<string>(
    '"node", or processors such as "0-3"',
    [(value) => value === "node", oneOf("", ["node"])],
    [() => true, text('"node", or processors such as "0-3"', CPUS)],
  ),
);

/** The modules that are loaded. */
export const MODULES: Rule<readonly string[]> = described(
  "Modules that are loaded",
  list("a list of modules", text("the name of a module", MODULE), {
    unique: true,
  }),
);

/** The words of the kernel's command line. */
export const COMMAND_LINE: Rule<readonly string[]> = described(
  "Words of the kernel's command line, from the next boot on",
  list("a list of words", text('a word such as "intel_iommu=on"', WORD), {
    unique: true,
  }),
);

/** The options of modules. */
export const MODULE_OPTIONS: Rule<ModuleOptions> = described(
  "Options of modules, by module and name",
  record(
    "an object by modules",
    { expected: "the name of a module", pattern: MODULE },
    record(
      "an object by options",
      { expected: "the name of an option", pattern: MODULE },
      text("a value without spaces", OPTION),
    ),
  ),
);

/** The processors that a machine has for itself. */
export const ISOLATION: Rule<IsolationState> = object<IsolationState>(
  "processors",
  {
    cpus: text('processors such as "2-5"', CPUS),
    slice: text('a slice such as "machine.slice"', SLICE),
  },
  {
    title: "Processors that only a machine uses",
    required: ["cpus"],
  },
);
