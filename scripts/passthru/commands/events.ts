/**
 * `passthru events`
 *
 * @module
 */

import type { Irq } from "../../../lib/device/interrupts/irq.ts";
import { VfioDevice } from "../../../lib/device/vfio_device.ts";
import { AddressSpace } from "../../../lib/dma/address_space.ts";
import { VfioError } from "../../../lib/errors.ts";
import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, EXIT, fromUser } from "../command.ts";
import { counted } from "../output/format.ts";
import { irqText } from "../output/layout.ts";
import { stepLine } from "../run/applying.ts";
import { ended } from "../run/ended.ts";
import { takeForVfio } from "../run/taking.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** An event, a line of JSON. */
export interface EventJson {
  /** Milliseconds since the command began to listen. */
  readonly time: number;
  /** `"INTx"`, `"MSI"`, `"MSI-X"`, `"error"` or `"request"`. */
  readonly name: string;
  /** Which of them. */
  readonly vector: number;
  /** How often it has come since it was last said. */
  readonly count: number;
}

/** How long a line that nobody serves stays masked, in milliseconds. */
const LINE_PAUSE = 1000;

/** Prints the interrupts of a function as they come, until Ctrl-C. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const [address] = args.operands;
  const fn = fromUser(() => host.function(address!));
  const { signal } = terminal;
  await using _ = await fromUser(() =>
    takeForVfio(host, [fn], {
      group: args.has("whole-group") ? "all endpoints" : undefined,
      insist: args.values("insist"),
      name: "passthru events",
      signal,
      onStep: (event) => terminal.progress(stepLine(event)),
    })
  );
  terminal.progress(undefined);
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach(fn, space, { detachOnRequest: true });
  const irq = chosen(device, args.value("irq"));
  const start = performance.now();
  const print = (irq: Irq, vector: number, count: number) => {
    const time = Math.round(performance.now() - start);
    const event = { time, name: irqText(irq.name), vector, count };
    terminal.write(
      `${args.has("json") ? JSON.stringify(event) : text(event)}\n`,
    );
  };
  using pauses = new DisposableStack();
  if (irq !== undefined) await watch(device, irq, print, pauses);
  for (const name of ["error", "request"] as const) {
    const events = device.interrupts.find((each) => each.name === name);
    if (events === undefined) continue;
    const { errors, requests } = device;
    const vector = await (name === "error" ? errors : requests).vector();
    vector.listen((count) => print(events, 0, count));
  }
  if (terminal.isTerminal) {
    const what = irq === undefined
      ? "no interrupts"
      : `${counted(irq.vectors.length, "vector")} of ${irqText(irq.name)}`;
    terminal.warn(
      `${device.name}: ${what}, errors and requests; until Ctrl-C\n`,
    );
  }
  await ended(terminal, [device]);
  return EXIT.DONE;
}

/** The interrupts that are printed: those asked for, or the best there are. */
function chosen(
  device: VfioDevice,
  name: string | undefined,
): Irq | undefined {
  if (name !== undefined) return device.irq(name as "msix" | "msi" | "intx");
  for (const name of ["msix", "msi", "intx"]) {
    const found = device.interrupts.find((irq) => irq.name === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function watch(
  device: VfioDevice,
  irq: Irq,
  print: (irq: Irq, vector: number, count: number) => void,
  pauses: DisposableStack,
): Promise<void> {
  const vectors = await irq.enable(irq.count, { least: 1 });
  for (const vector of vectors) {
    vector.listen((count) => {
      print(irq, vector.index, count);
      if (irq.automasked) unmaskLater(irq, pauses);
    });
  }
  // Its messages are writes to memory. It reaches none that is mapped.
  if (irq.name !== "intx") device.setBusMaster(true);
}

/** Nobody serves the device, so that its line would fire without a pause. */
function unmaskLater(irq: Irq, pauses: DisposableStack): void {
  const timer = setTimeout(() => {
    try {
      irq.unmask();
    } catch (error) {
      // It was detached meanwhile.
      if (!(error instanceof VfioError)) throw error;
    }
  }, LINE_PAUSE);
  pauses.defer(() => clearTimeout(timer));
}

function text({ time, name, vector, count }: EventJson): string {
  const seconds = (time / 1000).toFixed(3).padStart(9);
  const which = ["error", "request", "INTx"].includes(name)
    ? name
    : `${name} ${vector}`;
  return `${seconds}  ${which.padEnd(12)}${count}`;
}
