/**
 * Tells Node's diagnostics channels what this library does: one tracing channel
 * for each operation, `passthru:attach`, `passthru:detach`, `passthru:map`,
 * `passthru:take` and `passthru:apply`, and the channel `passthru:interrupt`.
 * Importing it is enough. A channel to which nobody has subscribed costs
 * nothing.
 *
 * @example How long does an attach take?
 * ```ts
 * import { channels } from "@passthru/vfio/diagnostics";
 * import { AddressSpace, VfioDevice } from "@passthru/vfio";
 *
 * const begun = new WeakMap<object, number>();
 * channels.attach.subscribe({
 *   start: (event) => begun.set(event, performance.now()),
 *   asyncEnd: (event) => {
 *     const { device, group, backend } = event;
 *     const time = performance.now() - begun.get(event)!;
 *     console.log(`${device} (group ${group}) by ${backend}: ${time} ms`);
 *   },
 *   end() {},
 *   asyncStart() {},
 *   error() {},
 * });
 * await using space = new AddressSpace();
 * await using device = await VfioDevice.attach("0000:01:00.0", space);
 * ```
 *
 * @module
 */

import {
  type Channel,
  channel,
  type TracingChannel,
  tracingChannel,
} from "node:diagnostics_channel";
import {
  type Operation,
  setTracer,
  type TracedEvent,
  type Tracer,
} from "../tracing.ts";

export type { Operation, TracedEvent };

/** A channel with the events of an operation: its start, its end, its error. */
export type OperationChannel = TracingChannel<TracedEvent, TracedEvent>;

/** The tracing channels, by their operation. */
export const channels: Readonly<Record<Operation, OperationChannel>> = {
  attach: tracingChannel("passthru:attach"),
  detach: tracingChannel("passthru:detach"),
  map: tracingChannel("passthru:map"),
  take: tracingChannel("passthru:take"),
  apply: tracingChannel("passthru:apply"),
};

/** The channel that tells of each interrupt that a script has read. */
export const interrupts: Channel = channel("passthru:interrupt");

const TRACER: Tracer = {
  wants: (operation) =>
    operation === "interrupt"
      ? interrupts.hasSubscribers
      : channels[operation].hasSubscribers,
  sync: (operation, event, work) => channels[operation].traceSync(work, event),
  async: (operation, event, work) =>
    channels[operation].tracePromise(work, event),
  interrupt: (event) => interrupts.publish(event),
};

setTracer(TRACER);
