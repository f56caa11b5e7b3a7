/**
 * Errors about a state that a command has made of its command line, in the
 * words of that command line: whoever typed `passthru bind 01:00.0` has written
 * no `functions[0]`.
 *
 * @module
 */

import { VfioError } from "../../../lib/errors.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { fromUser, UsageError } from "../command.ts";

/** A place in a state: `mediated[0].type`, `functions[0].virtualFunctions`. */
const PLACE = /(functions|mediated)\[(\d+)\]((?:\.\w+|\["[^"]*"\])*)/g;

/** Operands and options, by the place below an entry that they fill. */
const WORDS: Readonly<Record<string, string>> = {
  ".driver": "DRIVER",
  ".group": "--whole-group",
  ".parent": "PARENT",
  ".type": "TYPE",
  ".uuid": "UUID",
  ".virtualFunctions.count": "COUNT",
  ".virtualFunctions.driver": "--driver",
};

/** Advice about a state, and what is typed in its place. */
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /to give (?:them|the others) to (\S+) too: "group": "all endpoints" in \S+, with ([^,]*),/,
    "take all of the group: passthru bind ADDRESS $1 --whole-group $2,",
  ],
  [
    /to give (?:them|the others) to (\S+) too: "group": "all endpoints" in \S+/,
    "take all of the group: passthru bind ADDRESS $1 --whole-group",
  ],
  [
    /to leave (\S+) without a driver: \{ "select": "\S+", "driver": null \}/g,
    "leave $1 without a driver: passthru bind $1 none",
  ],
  [
    /give their number: "virtualFunctions": .*/,
    "remove them first: passthru vfs ADDRESS 0",
  ],
  [
    /give it the host's driver/,
    "bind it to the host's driver: " +
    "passthru bind ADDRESS DRIVER",
  ],
  [/it is not what \S+ says:/, "it is another one:"],
  [/expected a name or null/, "expected a name or none"],
  [/, with a state that gives only their count/, ", without --driver"],
  [
    /give (\S+) to (\S+) and (\S+): give its driver in .*/,
    "give $1 to $2 and $3: bind that first, passthru bind $1 $2",
  ],
];

/**
 * Returns the result of `run`, whose errors about a state are put into the words
 * of the command line that the state was made from.
 *
 * @param state The state.
 * @param run What is done with it.
 * @throws {UsageError} In place of a `TypeError` or `RangeError`.
 */
export function typed<T>(state: DesiredState, run: () => T): T {
  try {
    const value = fromUser(run);
    return value instanceof Promise
      ? value.catch((error) => rethrow(error, state)) as T
      : value;
  } catch (error) {
    return rethrow(error, state);
  }
}

function rethrow(error: unknown, state: DesiredState): never {
  if (error instanceof UsageError) {
    throw new UsageError(reworded(error.message, state), error.hint);
  }
  if (!(error instanceof VfioError)) throw error;
  const { code, device, problem, hint, cause } = error;
  throw new VfioError(code, {
    device,
    problem: reworded(problem, state),
    hint: hint && reworded(hint, state, device),
    cause,
  });
}

function reworded(
  text: string,
  state: DesiredState,
  device = "ADDRESS",
): string {
  let words = text;
  for (const [advice, instead] of ADVICE) {
    words = words.replace(advice, instead.replaceAll("ADDRESS", device));
  }
  return words
    .replaceAll(new RegExp(` \\(${PLACE.source}\\)`, "g"), "")
    .replaceAll(PLACE, (_, list: string, index: string, below: string) => {
      const word = WORDS[below];
      if (word !== undefined) return word;
      return list === "functions"
        ? String(state.functions![Number(index)]!.select)
        : state.mediated![Number(index)]!.uuid;
    });
}
