/**
 * Writes sequences as scripts, to run them where they failed: `deno task vm --
 * script.ts`.
 *
 * @module
 */
import { SYSTEMS } from "../setup.ts";
import { simulationOf } from "../simulated.ts";
import { type Operation, perform } from "./operations.ts";
import { FUNCTIONS, World } from "./world.ts";

/**
 * Writes a script that carries out operations and prints the answer of each.
 *
 * @param operations The operations.
 */
export function scriptOf(operations: readonly Operation[]): string {
  const lines = operations.map((operation) => {
    const text = Deno.inspect(operation, { breakLength: Infinity, depth: 9 });
    return `  ${text},\n`;
  });
  return `import { replay } from "${import.meta.url}";\n\n` +
    `await replay([\n${lines.join("")}]);\n`;
}

/**
 * Carries out operations on this system and on its simulation, and prints the
 * answers. Marks those that differ.
 *
 * @param operations The operations.
 */
export async function replay(operations: readonly Operation[]): Promise<void> {
  for (const system of SYSTEMS) {
    const worlds = [system, simulationOf(system.machine, FUNCTIONS)]
      .map((each) => new World(each.bench()));
    for (const world of worlds) await world.begin(world.bench.isNew);
    for (const operation of operations) {
      const answers: string[] = [];
      for (const world of worlds) {
        answers.push(Deno.inspect(await perform(world, operation)));
      }
      const [here, simulated] = answers;
      const same = here === simulated;
      console.log(same ? " " : "!", ...operation, "→", here);
      if (!same) console.log("    simulated:", simulated);
    }
    for (const world of worlds) await world.end();
  }
}
