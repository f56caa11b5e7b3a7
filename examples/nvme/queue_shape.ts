/**
 * The sizes and the parts of NVMe queues (Base Specification 2.0, section 3.3).
 *
 * @module
 */

/** Bytes of a page. Each ring begins one. */
export const PAGE = 4096;

/** Bytes of a command, and of its completion. */
export const COMMAND_SIZE = 64;
export const COMPLETION_SIZE = 16;

/** The most bytes that a command transfers: a page of pointers to pages. */
export const MAX_TRANSFER = PAGE / 8 * PAGE;

/** The sizes of a queue pair. */
export interface QueueSizes {
  /** Slots for commands. */
  readonly entries: number;
  /**
   * Slots for completions, as many as for commands or more. With more, the
   * controller is told less often that they are free.
   */
  readonly completions: number;
  /** Whether commands transfer more than two pages. */
  readonly lists: boolean;
}

/** The parts of a command that are seldom needed. */
export interface Command {
  /** The kind of command. */
  readonly opcode: number;
  /** The namespace it is about. */
  readonly namespace?: number;
  /** Command dwords 10 to 15. Their meaning depends on the command. */
  readonly dwords?: readonly number[];
}

/** The memory of a queue pair: DMA memory, or a Worker's view of it. */
export interface QueueMemory {
  /** Where this process sees it. */
  readonly address: bigint;
  /** Where the controller sees it. */
  readonly iova: bigint;
  /** Bytes. */
  readonly size: number;
  /** The memory itself. */
  readonly buffer: ArrayBuffer;
  /** Frees it. */
  free(): void;
}

/** The bytes of memory of a queue pair. */
export function queueBytes(
  { entries, completions, lists }: QueueSizes,
): number {
  return wholePages(entries * COMMAND_SIZE) +
    wholePages(completions * COMPLETION_SIZE) +
    (lists ? (entries - 1) * PAGE : 0);
}

/** The bytes of whole pages that hold so many. */
export function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}
