/**
 * Reads and walks which pages of 16 GiB were written, without a kernel's part:
 * what the library takes beside it.
 *
 * @module
 */
import type { DirtyLog } from "../../backends/backend.ts";
import { DirtySession } from "../../lib/dma/dirty/session.ts";
import type { TrackedSpace } from "../../lib/dma/dirty/tracked_space.ts";
import { Mappings } from "../../lib/dma/mappings.ts";
import { UNATTACHED } from "../../lib/dma/unattached.ts";
import { compare, type Comparison, timed } from "./compare.ts";
import { Peer } from "./peer.ts";

const PAGE = 4096;
const GIB = 2 ** 30;
const SIZE = 16 * GIB;
const FIRST = 1n << 32n;

/** One page of how many was written. */
const PATTERNS = [3, 1000];

/**
 * Measures on this machine.
 *
 * @param program The C program.
 * @param rounds How many rounds there are.
 */
export async function* measureDirty(
  program: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  await using peer = new Peer(program);
  for (const every of PATTERNS) {
    const session = await DirtySession.start(spaceWith(every), "iommu");
    yield await compare(
      {
        what:
          `16 GiB's dirty bits, 1 page of ${every}, without the kernel's part`,
        warmUp: 40,
        times: 2,
        rounds,
      },
      {
        ts: timed(async (times) => {
          for (let i = 0; i < times; i++) {
            const bitmap = await session.read(FIRST, SIZE, true);
            let sum = 0;
            bitmap.forEach((_, bytes) => {
              sum += bytes;
            });
            if (sum === 0) throw new Error("No page was written");
          }
        }),
        c: peer.contestant("walk", SIZE / PAGE, every),
      },
    );
  }
}

/** A space of sixteen mappings, whose log is a copy of a bitmap. */
function spaceWith(every: number): TrackedSpace {
  const written = new Uint8Array(SIZE / PAGE / 8);
  for (let bit = 0; bit < SIZE / PAGE; bit += every) {
    written[bit >> 3]! |= 1 << (bit & 7);
  }
  const log: DirtyLog = {
    by: "hwpt",
    pageSize: PAGE,
    blur: undefined,
    wholeMappings: false,
    read(iova, bytes, bitmap) {
      const from = Number(iova - FIRST) / PAGE / 8;
      bitmap.set(written.subarray(from, from + bytes / PAGE / 8));
    },
    unmap: () => true,
    stop() {},
  };
  const context = {
    noIommu: false,
    map() {},
    startDirtyLog: () => Promise.resolve(log),
  } as unknown as TrackedSpace["context"];
  const mappings = new Mappings(context, UNATTACHED);
  for (let i = 0; i < SIZE / GIB; i++) {
    const iova = FIRST + BigInt(i * GIB);
    mappings.map({ address: 0n, size: GIB }, { iova }, undefined);
  }
  const members = new Set([{ name: "a device" }]);
  return {
    context,
    mappings,
    members: members as unknown as TrackedSpace["members"],
  };
}
