/**
 * The functions that the demo does not take.
 *
 * @module
 */
import type { PciFunction } from "../../mod.ts";
import { driverNodes, usesOf } from "../../lib/host/mod.ts";

const IFF_UP = 1;

/**
 * Returns the reasons not to take a function of this machine for a demo: each
 * use for which the library refuses it, and each of its network interfaces that
 * is up.
 *
 * @param fn The function.
 * @returns A clause for each reason.
 */
export function objections(fn: PciFunction): string[] {
  const { host: { kernel } } = fn;
  const up = driverNodes(fn).filter(({ kind, path }) =>
    kind === "network" &&
    (Number(kernel.readFile(`${path}/flags`)) & IFF_UP) !== 0
  );
  return [
    ...usesOf(fn.host, fn).map(({ problem }) => problem),
    ...up.map(({ name }) => `the network interface ${name} is up`),
  ];
}
