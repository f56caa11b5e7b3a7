import { VfioError } from "../../errors.ts";
import { type AddressRange, difference, intersection } from "../../ranges.ts";
import { iovaOf } from "../../uapi/layout.ts";
import type { DmaMapping } from "../mapping.ts";
import { LOG_DMA, type Member, type MemberLog } from "../members.ts";
import { DirtyBitmap } from "./bitmap.ts";
import type { KeptPages } from "./kept.ts";

/** The most ranges that a device's log takes. */
const MOST_RANGES = 256;

/** A device's log, and where it looks. */
interface Logged {
  readonly log: MemberLog;
  readonly ranges: readonly AddressRange[];
}

/** The logs that the devices of an address space have. */
export class DeviceLogs {
  /** Always `"devices"`. */
  readonly by = "devices";
  /** The smallest page of a report, in bytes. */
  readonly pageSize = 4096;
  readonly #logs = new Map<Member, Logged>();

  /**
   * Starts a log on each device.
   *
   * @param members The devices.
   * @param mappings What is mapped.
   * @throws {VfioError} `NOT_SUPPORTED` if a device has none.
   */
  static async start(
    members: readonly Member[],
    mappings: Iterable<DmaMapping>,
  ): Promise<DeviceLogs> {
    const logs = new DeviceLogs();
    const all = [...mappings];
    try {
      for (const member of members) await logs.add(member, all);
      return logs;
    } catch (error) {
      // Once more, as a lack of memory passes.
      await logs.stop().catch(() => logs.stop()).catch(() => {});
      throw error;
    }
  }

  /** Starts the log of a device. */
  async add(member: Member, mappings: Iterable<DmaMapping>): Promise<void> {
    const ranges = join(mappings);
    const log = ranges.length === 0
      ? undefined
      : await member[LOG_DMA](ranges.map(({ start, last }) => ({
        iova: start,
        size: last + 1n - start,
      })));
    if (log === undefined) {
      throw new VfioError("NOT_SUPPORTED", {
        device: member.name,
        problem: ranges.length === 0
          ? "nothing is mapped that it could log"
          : "it has no log of the memory that it writes",
        hint: "map memory first, or take what the backend has: " +
          "space.dirty.start()",
      });
    }
    this.#logs.set(member, { log, ranges });
  }

  /** Forgets a device that was detached, and its log with it. */
  remove(member: Member): void {
    this.#logs.delete(member);
  }

  /**
   * Marks what one of the devices has written, and what none of them logs.
   *
   * @param part Gets the marks.
   * @param kept Gets what devices told beside that, and will not tell again.
   */
  async mark(part: DirtyBitmap, kept: KeptPages): Promise<void> {
    for (const logged of [...this.#logs.values()]) {
      for (const window of windowsOf(part, logged)) {
        const { start, last } = window;
        const size = last + 1n - start;
        const told = new DirtyBitmap(start, Number(size), this.pageSize);
        told.add(await logged.log.report({ iova: start, size }, this.pageSize));
        part.merge(told);
        told.exclude(part);
        kept.add(told);
      }
      for (
        const { start, last } of difference([rangeOf(part)], logged.ranges)
      ) {
        part.mark(Number(start - part.iova), Number(last + 1n - start));
        part.blur("it was mapped when the devices' logs had started already");
      }
    }
  }

  /** Ends all logs. Those that do not end stay. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (const [member, { log }] of [...this.#logs]) {
      try {
        await log.stop();
        this.#logs.delete(member);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** The ranges that cover mappings, with the smallest gaps between them. */
function join(mappings: Iterable<DmaMapping>): AddressRange[] {
  const runs: { first: number; end: number }[] = [];
  for (const { page, bytes } of mappings) {
    const end = page + bytes / 4096;
    const last = runs.at(-1);
    if (last?.end === page) last.end = end;
    else runs.push({ first: page, end });
  }
  const gaps = runs.slice(1).map(({ first }, i) => first - runs[i]!.end);
  // As many of the largest gaps stay as there can be ranges.
  const kept = new Set(
    gaps.map((_, i) => i).sort((a, b) => gaps[b]! - gaps[a]!)
      .slice(0, MOST_RANGES - 1),
  );
  const joined: { first: number; end: number }[] = [];
  for (const [i, run] of runs.entries()) {
    const last = joined.at(-1);
    if (last !== undefined && !kept.has(i - 1)) last.end = run.end;
    else joined.push(run);
  }
  return joined.map(({ first, end }) => ({
    start: iovaOf(first),
    last: iovaOf(end) - 1n,
  }));
}

/**
 * Where a log is asked for a part: as far as it looks, and no less than what the
 * device tells apart, since it forgets all of that.
 */
function windowsOf(part: DirtyBitmap, { log, ranges }: Logged): AddressRange[] {
  const { start, last } = rangeOf(part);
  const grain = BigInt(Math.max(log.pageSize, part.pageSize));
  const wide = {
    start: start / grain * grain,
    last: (last / grain + 1n) * grain - 1n,
  };
  return intersection([wide], ranges)
    .filter((window) => window.start <= last && window.last >= start);
}

function rangeOf({ iova, size }: DirtyBitmap): AddressRange {
  return { start: iova, last: iova + size - 1n };
}
