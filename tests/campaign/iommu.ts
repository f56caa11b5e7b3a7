/**
 * A campaign against translation: two address spaces, IO address spaces and page
 * tables beside them, and four devices, in random order. After each step a
 * device writes: exactly the memory changes that is mapped where it looks, and
 * exactly that is told by whoever logs it. Nothing may be left.
 *
 * @module
 */
import fc from "fast-check";
import { type BackendName, VfioError } from "../../mod.ts";
import { type ActionName, ACTIONS } from "./iommu_actions.ts";
import { World } from "./iommu_world.ts";

/** One of a few. */
type Number = 0 | 1 | 2 | 3;

/** A step. The areas 0 and 1 are those of the spaces. */
export interface Step {
  readonly what: ActionName;
  readonly device: Number;
  readonly area: Number;
  readonly page: Number;
  readonly flag: boolean;
}

const number = fc.constantFrom<Number>(0, 1, 2, 3);

/** Rounds of the campaign. */
export const IOMMU_ROUNDS: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record<Step>({
    what: fc.constantFrom(
      ...Object.keys(ACTIONS) as ActionName[],
      ...["attach", "attach", "map", "map", "move"] as const,
    ),
    device: number,
    area: fc.constantFrom<Number>(0, 0, 1, 1, 2, 3),
    page: number,
    flag: fc.boolean(),
  }),
  { minLength: 4, maxLength: 40 },
);

/** Carries out a round; throws when a step has another effect than it should. */
export async function playIommuRound(
  steps: readonly Step[],
  backend: BackendName,
): Promise<void> {
  const world = new World(backend);
  for (const step of steps) {
    try {
      await ACTIONS[step.what](world, step);
    } catch (error) {
      if (!(error instanceof VfioError)) throw error;
      // Whatever these steps ask for that cannot be has a name.
      if (error.code === "KERNEL") throw error;
    }
    world.assertReach(step.device, step.page);
  }
  await world.end();
}

/**
 * Writes a round as a script.
 *
 * @param steps The round.
 * @param backend The backend.
 */
export function iommuScriptOf(
  steps: readonly Step[],
  backend: BackendName,
): string {
  const lines = steps.map((step) => `  ${JSON.stringify(step)},\n`);
  return `import { playIommuRound } from "${import.meta.url}";\n\n` +
    `await playIommuRound([\n${lines.join("")}], ` +
    `${JSON.stringify(backend)});\n`;
}
