/**
 * Where this library says what it does, for who traces it. Nobody listens
 * before `lib/diagnostics/mod.ts` is imported; then it costs a comparison.
 *
 * @module
 */

/** What the library does. */
export type Operation = "attach" | "detach" | "map" | "take" | "apply";

/** What is known of one. */
export interface TracedEvent {
  /** The device: a PCI function's address, or another bus's name. */
  readonly device?: string;
  /** Its IOMMU group. */
  group?: string | undefined;
  /** Which backend it has; known once it is attached. */
  backend?: string | undefined;
  /** Where memory is mapped, in bytes; known once it is. */
  iova?: bigint;
  /** How much memory is mapped, in bytes. */
  readonly bytes?: number;
  /** How many devices a plan concerns. */
  readonly devices?: number;
  /** Which interrupt: `"msix 3"`. */
  readonly interrupt?: string;
  /** How many interrupts came since the last. */
  readonly count?: number;
}

/** Who traces. */
export interface Tracer {
  /** Whether anybody wants to know of an operation. */
  wants(operation: Operation | "interrupt"): boolean;
  /** Does work, and tells of it. */
  sync<T>(operation: Operation, event: TracedEvent, work: () => T): T;
  /** Does work that takes time, and tells of it. */
  async<T>(
    operation: Operation,
    event: TracedEvent,
    work: () => Promise<T>,
  ): Promise<T>;
  /** Tells of interrupts that came. */
  interrupt(event: TracedEvent): void;
}

let present: Tracer | undefined;

/** Sets who traces, in place of who did before. */
export function setTracer(tracer: Tracer): void {
  present = tracer;
}

/** Who wants to know of an operation; `undefined` where nobody does. */
export function tracerOf(
  operation: Operation | "interrupt",
): Tracer | undefined {
  return present?.wants(operation) ? present : undefined;
}

/**
 * Does work that takes time, and tells of it.
 *
 * @param operation What it is.
 * @param event What is known of it. The work can add to that.
 * @param work Does it.
 */
export function traced<T>(
  operation: Operation,
  event: () => TracedEvent,
  work: (event: TracedEvent | undefined) => Promise<T>,
): Promise<T> {
  const tracer = tracerOf(operation);
  if (tracer === undefined) return work(undefined);
  const known = event();
  return tracer.async(operation, known, () => work(known));
}
