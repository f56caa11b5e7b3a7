import type { DirtyLog } from "../../../backends/backend.ts";
import { toVfioError, VfioError } from "../../errors.ts";
import { iovaOf } from "../../uapi/layout.ts";
import type { DmaMapping } from "../mapping.ts";
import { MAY_WRITE, type Member } from "../members.ts";
import { DirtyBitmap } from "./bitmap.ts";
import { DeviceLogs } from "./device_logs.ts";
import { KeptPages } from "./kept.ts";
import type {
  DirtySource,
  DirtyStartOptions,
  TrackedSpace,
} from "./tracked_space.ts";

/** The unit of IOVAs, in bytes. */
const PAGE = 4096;

/**
 * The largest range that is read by one call to the kernel, in pages: walking
 * the page tables of 4 GiB takes about 10 ms.
 */
const CALL_PAGES = 2 ** 20;

/** Dirty tracking from its start to its stop. */
export class DirtySession {
  readonly #space: TrackedSpace;
  /** What the backend has, where that tells. */
  #log: DirtyLog | undefined;
  /** What the devices have, where these tell. */
  readonly #devices: DeviceLogs | undefined;
  readonly #kept = new KeptPages();
  /** Why all memory is taken as written, where nobody tells any more. */
  #everything: string | undefined;
  /** Who tells. */
  readonly by: DirtySource;
  /** Why that one. */
  readonly reason: string;
  /** What a bit stands for, in bytes. */
  readonly pageSize: number;

  private constructor(
    space: TrackedSpace,
    source: DirtyLog | DeviceLogs | undefined,
    reason: string,
  ) {
    this.#space = space;
    this.reason = reason;
    if (source === undefined) {
      this.by = "nothing";
      this.pageSize = PAGE;
      this.#everything = reason;
      return;
    }
    if (source instanceof DeviceLogs) this.#devices = source;
    else this.#log = source;
    this.by = source.by;
    this.pageSize = source.pageSize;
  }

  /** Starts it: {@linkcode DirtyTracking.start}. */
  static async start(
    space: TrackedSpace,
    by: DirtyStartOptions["by"] = "auto",
  ): Promise<DirtySession> {
    const members = [...space.members.values()];
    assertPossible(space, members);
    const ranges = space.mappings.values();
    if (by !== "iommu") {
      try {
        const logs = await DeviceLogs.start(members, ranges);
        const reason = by === "devices"
          ? "asked for"
          : "every device logs what it writes";
        return new DirtySession(space, logs, reason);
      } catch (error) {
        if (by === "devices" || !isUnsupported(error)) throw error;
      }
    }
    try {
      const log = await space.context.startDirtyLog();
      const reason = by === "iommu" ? "asked for" : withoutLogs(members);
      return new DirtySession(space, log, reason);
    } catch (error) {
      if (by === "iommu" || !isUnsupported(error)) {
        throw toVfioError(error, "start dirty tracking");
      }
      const reason = `${withoutLogs(members)}, and ${error.problem}`;
      return new DirtySession(space, undefined, reason);
    }
  }

  /** {@linkcode DirtyTracking.read} */
  async read(
    iova: bigint,
    bytes: number,
    clear: boolean,
  ): Promise<DirtyBitmap> {
    assertWhole(iova, bytes, this.pageSize);
    const bitmap = new DirtyBitmap(iova, bytes, this.pageSize);
    const first = Number(iova / BigInt(PAGE));
    const end = first + bytes / PAGE;
    for (let at = first; at < end;) {
      const stretch = this.#stretch(at, end);
      if (stretch === undefined) break;
      const where = iovaOf(stretch.first);
      const size = (stretch.end - stretch.first) * PAGE;
      // What is cleared and within the range is told at once.
      const own = clear ? bitmap.part(where, size) : undefined;
      const part = own ?? new DirtyBitmap(where, size, this.pageSize);
      const forgotten = await this.#mark(part, clear);
      if (own !== undefined) {
        if (own.reason !== undefined) bitmap.blur(own.reason);
      } else {
        bitmap.merge(part);
        if (forgotten) {
          if (clear) part.exclude(bitmap);
          this.#kept.add(part);
        }
      }
      at = stretch.end;
    }
    this.#kept.mark(bitmap);
    if (clear) this.#kept.forget(bitmap);
    return bitmap;
  }

  /**
   * The next mappings without a hole between them, in pages, as far as they are
   * asked for; or the next mapping, whole. The kernel puts bits of a mapping
   * that does not begin with a word also where no page of it is
   * (`update_user_bitmap()`).
   */
  #stretch(
    from: number,
    end: number,
  ): { first: number; end: number } | undefined {
    const { mappings } = this.#space;
    const whole = this.#log?.wholeMappings === true;
    const mapping = mappings.firstWithin(from, end);
    if (mapping === undefined) return undefined;
    const first = whole ? mapping.page : Math.max(mapping.page, from);
    let last = mapping.page + mapping.bytes / PAGE;
    if (whole) return { first, end: last };
    while (last < end && last - first < CALL_PAGES) {
      const next = mappings.firstWithin(last, last + 1);
      if (next === undefined) break;
      last = next.page + next.bytes / PAGE;
    }
    return { first, end: Math.min(last, end, first + CALL_PAGES) };
  }

  /**
   * Marks the written pages of a part without holes.
   *
   * @returns Whether nobody would tell them again that are not cleared.
   */
  async #mark(part: DirtyBitmap, clear: boolean): Promise<boolean> {
    if (this.#everything !== undefined) {
      part.markAll(this.#everything);
      return false;
    }
    try {
      if (this.#devices !== undefined) {
        await this.#devices.mark(part, this.#kept);
        return !clear;
      }
      const { blur, wholeMappings } = this.#log!;
      this.#log!.read(part.iova, Number(part.size), part.bytes, clear);
      if (blur !== undefined) part.markAll(blur);
      return wholeMappings && blur === undefined;
    } catch (error) {
      // What was cleared before it failed is not told again.
      part.markAll(`the log could not be read: ${messageOf(error)}`);
      return true;
    }
  }

  /** {@linkcode DirtyTracking.unmap} */
  async unmap(mapping: DmaMapping): Promise<DirtyBitmap> {
    const { mappings } = this.#space;
    const part = new DirtyBitmap(mapping.iova, mapping.bytes, this.pageSize);
    if (this.#everything !== undefined) {
      mappings.remove(mapping);
      part.markAll(this.#everything);
    } else if (this.#devices !== undefined) {
      // The devices know what they wrote when it is unmapped, too.
      mappings.remove(mapping);
      await this.#mark(part, true);
    } else this.#unmapByLog(this.#log!, mapping, part);
    this.#kept.mark(part);
    this.#kept.forget(part);
    return part;
  }

  #unmapByLog(log: DirtyLog, mapping: DmaMapping, part: DirtyBitmap): void {
    const { blur } = log;
    let atOnce = true;
    try {
      this.#space.mappings.remove(mapping, () => {
        atOnce = log.unmap(mapping, part.bytes);
      });
    } catch (error) {
      const reason = `it could not be unmapped: ${messageOf(error)}`;
      part.markAll(reason);
      this.#kept.add(part);
      throw error;
    }
    if (blur !== undefined) part.markAll(blur);
    if (atOnce) return;
    const writer = [...this.#space.members.values()]
      .find(mayWrite);
    if (writer === undefined) return;
    part.markAll(
      `${writer.name} could write between the read and the unmap: stop its ` +
        "DMA first",
    );
  }

  /** {@linkcode DirtyTracking.stop} */
  async stop(): Promise<void> {
    this.#log?.stop();
    await this.#devices?.stop();
  }

  /** A device was attached. */
  async join(member: Member, borrowed: boolean): Promise<void> {
    if (borrowed) this.#lose(`${member.name} was writing when it was attached`);
    if (this.#everything !== undefined) return;
    try {
      if (this.#devices === undefined) {
        this.#log = await this.#space.context.startDirtyLog();
      } else await this.#devices.add(member, this.#space.mappings.values());
    } catch (error) {
      this.#everything = `${member.name} came, and its writes are unknown: ` +
        messageOf(error);
    }
  }

  /** A device was detached, and what it wrote last cannot be read any more. */
  leave(member: Member): void {
    this.#devices?.remove(member);
    this.#lose(`${member.name} was detached before what it wrote was read`);
  }

  #lose(reason: string): void {
    if (this.#everything !== undefined) return;
    for (const { page, bytes } of this.#space.mappings.values()) {
      this.#kept.addAll(iovaOf(page), bytes, this.pageSize, reason);
    }
  }
}

/** Whether a device could write now; who does not answer could. */
function mayWrite(member: Member): boolean {
  try {
    return member[MAY_WRITE]();
  } catch {
    return true;
  }
}

function assertPossible(
  { context }: TrackedSpace,
  members: readonly Member[],
): void {
  if (members.length === 0) {
    throw new VfioError("DETACHED", {
      problem: "no device is attached to the address space, so none writes",
      hint: "attach a device first",
    });
  }
  if (!context.noIommu) return;
  throw new VfioError("NOT_SUPPORTED", {
    problem: "no IOMMU translates for the devices of the address space, so " +
      "nobody knows what they write",
    hint: "take all memory as written",
  });
}

function assertWhole(iova: bigint, bytes: number, pageSize: number): void {
  const isWhole = Number.isSafeInteger(bytes) && bytes > 0 && iova >= 0n &&
    bytes % pageSize === 0 && iova % BigInt(pageSize) === 0n;
  if (isWhole) return;
  throw new RangeError(
    `Cannot tell what of ${bytes} bytes at IOVA ${iova} was written: ` +
      `expected whole pages of ${pageSize}`,
  );
}

function isUnsupported(error: unknown): error is VfioError {
  return error instanceof VfioError && error.code === "NOT_SUPPORTED";
}

function withoutLogs(members: readonly Member[]): string {
  return members.length === 1
    ? `${members[0]!.name} has no log of its own`
    : "not every device has a log of its own";
}

function messageOf(error: unknown): string {
  return error instanceof VfioError ? error.problem : (error as Error).message;
}
