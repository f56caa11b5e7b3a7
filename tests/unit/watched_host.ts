/**
 * A simulated host that records writes, and whose answers a test can choose.
 */
import { Host } from "../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../lib/kernel/intercept.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import { buildMachine } from "../../lib/sim/machine/build.ts";
import type { Machine } from "../../lib/sim/machine/machine.ts";
import type { Topology } from "../../lib/sim/machine/topology.ts";

/** A host whose calls a test can change. */
export class WatchedHost {
  /** The machine. */
  readonly machine: Machine;
  /** The unchanged system. */
  readonly raw: Kernel;
  /** The system with the test's changes. */
  readonly kernel: Kernel;
  /** The host as the library sees it. */
  readonly host: Host;
  /** Every write, as `path: text`, in order. */
  readonly writes: string[] = [];
  /** Promises that writes wait for before they are carried out, by path. */
  readonly hangs = new Map<string, Promise<void>>();
  /** Functions that replace writes, by path. */
  readonly instead = new Map<string, () => void | Promise<void>>();
  /** The errnos of the next writes, by path. */
  readonly answers = new Map<string, string[]>();
  /** Paths that seem not to exist. */
  readonly hidden = new Set<string>();

  constructor(topology: Topology) {
    this.machine = buildMachine(topology);
    const kernel = this.machine.spawn();
    this.raw = kernel;
    this.kernel = intercept(kernel, (call, proceed) => {
      const [path] = call.args;
      if (typeof path === "string" && this.hidden.has(path)) {
        throw new KernelError(errnoNumber("ENOENT"), call.method, path);
      }
      return call.method === "writeFile" || call.method === "writeFileAsync"
        ? this.#write(call, proceed)
        : proceed();
    });
    this.host = new Host(this);
  }

  /** Reads the driver and the attributes of a function. */
  state(address: string): Record<string, string> {
    const path = `/sys/bus/pci/devices/${address}`;
    const entries = this.raw.readdir(path);
    return {
      entries: entries.join(" "),
      driver: entries.includes("driver")
        ? this.raw.readlink(`${path}/driver`)
        : "none",
      override: this.raw.readFile(`${path}/driver_override`),
      power: this.raw.readFile(`${path}/power/control`),
    };
  }

  /** Starts another process that has files open. `exit()` ends it. */
  process(name: string, files: readonly string[]): { exit(): void } {
    const process = this.machine.spawn({ name });
    for (const file of files) process.open(file, 2);
    return process;
  }

  async #write(call: KernelCall, proceed: () => unknown): Promise<unknown> {
    const [path, text] = call.args as [string, string];
    await this.hangs.get(path);
    this.writes.push(`${path}: ${text.trimEnd()}`);
    const instead = this.instead.get(path);
    if (instead !== undefined) return await instead();
    const answer = this.answers.get(path)?.shift();
    if (answer === undefined) return await proceed();
    throw new KernelError(errnoNumber(answer), "write", path);
  }
}
