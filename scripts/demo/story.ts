/**
 * The story that the demo shows: a function is taken from its driver, attached,
 * used, detached and given back, once by each backend.
 *
 * @module
 */
import { idPair } from "../../lib/hex.ts";
import {
  AddressSpace,
  type BackendName,
  type Host,
  type PciFunction,
  VfioDevice,
  VfioError,
} from "../../mod.ts";
import { type DriverNode, driverNodes } from "../../lib/host/mod.ts";
import { exercise, type ExerciseOptions, type Written } from "./exercise.ts";
import { firstBytes, type Report } from "./report.ts";

/** How long a driver may take to bring its nodes back, in milliseconds. */
const NODES_LIMIT = 60_000;

/** How the story is shown. */
export interface StoryOptions extends ExerciseOptions {
  /** The only backend. Default: each that the host has. */
  readonly backend?: BackendName | undefined;
  /** Ends the story early; everything is put back. */
  readonly signal?: AbortSignal;
}

/**
 * Shows on one function what the library does.
 *
 * @param host The host.
 * @param fn The function, which nobody uses.
 * @param report Prints what is done.
 * @param options The backend, and what may be done.
 */
export async function demonstrate(
  host: Host,
  fn: PciFunction,
  report: Report,
  options: StoryOptions,
): Promise<void> {
  introduce(fn, report);
  const { backend } = options;
  if (backend !== undefined) {
    report.heading(`by ${backend}`);
    await demonstrateBackend(host, fn, backend, report, options);
    return;
  }
  report.heading("by the backend that is chosen by default");
  const first = await demonstrateBackend(host, fn, "auto", report, options);
  const other = first === "iommufd" ? "legacy" : "iommufd";
  report.heading(`by ${other}`);
  try {
    await demonstrateBackend(host, fn, other, report, options);
  } catch (error) {
    if (!(error instanceof VfioError)) throw error;
    if (error.code !== "BACKEND_UNAVAILABLE") throw error;
    report.line("not here", error.message.split("\n")[0]!);
    report.line("given back", `driver ${withNodes(fn, [])}`);
  }
}

/** Says which function it is, and with which others it shares a group. */
function introduce(fn: PciFunction, report: Report): void {
  const ids = idPair(fn.vendor, fn.device);
  const names = [fn.vendorName, fn.deviceName]
    .filter((name) => name !== undefined).join(" ");
  report.line("function", `${fn.address}  ${ids}  ${names}`.trimEnd());
  const group = fn.iommuGroup;
  if (group === undefined) return; // `take` explains why
  const members = group.devices.map((device) =>
    `${device.name} (${device.driver ?? "no driver"})`
  );
  report.line("group", `${group.id}: ${members.join(", ")}`);
}

/** Shows the story by one backend, and returns which one it was. */
async function demonstrateBackend(
  host: Host,
  fn: PciFunction,
  wanted: BackendName | "auto",
  report: Report,
  { scratch, signal }: StoryOptions,
): Promise<BackendName> {
  const nodes = driverNodes(fn);
  report.line("driver", withNodes(fn, nodes));
  await using taken = await report.step(
    "taken",
    () => host.take(fn, signal === undefined ? {} : { signal }),
    ({ driver }) => `by ${driver}`,
  );
  await using space = new AddressSpace({ host, backend: wanted });
  signal?.throwIfAborted();
  await using device = await report.step(
    "attached",
    () => VfioDevice.attach(fn, space),
    () => `by ${space.backend!.backend}: ${space.backend!.reason}`,
  );
  const { backend } = space.backend!;
  signal?.throwIfAborted();
  const written = await exercise(fn, device, report, { scratch });
  await report.step(
    "detached",
    () => device.detach(),
    () => "this process has nothing of it open",
  );
  const nodesAfter = await report.step(
    "given back",
    async () => {
      await taken.giveBack();
      return await nodesAgain(fn, nodes.length);
    },
    (nodesAfter) => `driver ${withNodes(fn, nodesAfter)}`,
  );
  if (written !== undefined) await check(nodesAfter, written, report);
  return backend;
}

function withNodes({ driver }: PciFunction, nodes: DriverNode[]): string {
  const names = nodes.map(({ name }) => name).join(", ");
  return `${driver ?? "none"}${names === "" ? "" : `: ${names}`}`;
}

/** Waits until the driver has made as many nodes as there were before. */
async function nodesAgain(
  fn: PciFunction,
  count: number,
): Promise<DriverNode[]> {
  const deadline = performance.now() + NODES_LIMIT;
  for (;;) {
    const nodes = driverNodes(fn);
    if (nodes.length >= count && await allThere(nodes)) return nodes;
    if (performance.now() > deadline) {
      throw new Error(`${fn.driver} did not bring all of its nodes back`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether the nodes in /dev exist: they appear after sysfs has them. */
async function allThere(nodes: DriverNode[]): Promise<boolean> {
  const exist = nodes.map(({ name }) =>
    !name.startsWith("/") || Deno.stat(name).then(() => true, () => false)
  );
  return (await Promise.all(exist)).every(Boolean);
}

/**
 * Reads the demo's data from the disk by the host's own driver, and compares
 * it.
 */
async function check(
  nodes: DriverNode[],
  { bytes, offset }: Written,
  report: Report,
): Promise<void> {
  const disk = nodes.find(({ kind }) => kind === "disk")!.name;
  using file = await Deno.open(disk);
  await file.seek(offset, Deno.SeekMode.Start);
  const found = new Uint8Array(bytes.length);
  await file.read(found);
  if (found.some((byte, i) => byte !== bytes[i])) {
    throw new Error(
      `${disk} does not hold what was written: ${firstBytes(found)}`,
    );
  }
  report.line("checked", `${disk}, read by its driver: ${firstBytes(found)}`);
}
