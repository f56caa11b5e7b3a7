/**
 * Measures what the NVMe driver of `examples/` itself takes for a command, over
 * rings in plain memory: the C program does the same, store by store.
 *
 * @module
 */
import { compare, type Comparison, timed } from "./compare.ts";
import { Peer } from "./peer.ts";
import { RingMemory } from "./ring_loop.ts";

const DEPTHS = [1, 32, 256];

/**
 * Commands in a round. It is short, as most rounds are then not disturbed by
 * other work of the machine.
 */
const TIMES = 6400;
const WARM_UP = 400 * TIMES;

const RINGS = {
  target: 1.5,
  holds: "With one command at once the turn is all that there is: about 440 " +
    "instructions, C's 127. For each of eight arrays it checks the shape and " +
    "loads the length and the address, which many commands at once share.",
};

/**
 * Measures the driver's own part of a command.
 *
 * @param program The C program.
 * @param rounds How many rounds there are.
 */
export async function* measureRings(
  program: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  await using peer = new Peer(program);
  await using memory = new RingMemory();
  for (const depth of DEPTHS) {
    using loop = memory.loop(depth);
    const what = `an NVMe command over rings in memory, ${depth} at once`;
    yield await compare(
      { what, ...RINGS, warmUp: WARM_UP, times: TIMES, rounds },
      {
        ts: timed((times) => loop.run(times)),
        c: peer.contestant("rings", depth),
      },
    );
  }
}
