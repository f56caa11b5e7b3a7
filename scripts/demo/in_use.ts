/**
 * What the demo leaves alone.
 *
 * @module
 */
import type { PciFunction } from "../../mod.ts";
import { driverNodes, usesOf } from "../../lib/host/mod.ts";

const IFF_UP = 1;

/**
 * What is to be said against taking a function of this machine for a demo: all
 * that the library refuses too, and besides a network interface that is up.
 *
 * @param fn The function.
 * @returns A clause for each use; none where it is free.
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
