/**
 * Refusing to take what the host lives on.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { Deadline, type WaitOptions } from "../driver/deadline.ts";
import type { DeviceHost } from "../device.ts";
import { formatPciAddress, parsePciAddress } from "../../pci/address.ts";
import type { PciFunction } from "../pci/function.ts";
import { HostUse } from "./uses.ts";
import type { Use, UseKind } from "./use.ts";

/**
 * What can be over by itself: a disk is claimed while its partition table is
 * read, and udev opens the nodes that it is told of.
 */
const PASSING: ReadonlySet<UseKind> = new Set(["open", "volume"]);

/** How long it is waited for that, in milliseconds. */
const PATIENCE = 1000;

/** Says how to insist on functions, given their addresses: a clause. */
export type HowToInsist = (addresses: readonly string[]) => string;

const BY_NAME: HowToInsist = (addresses) =>
  `insist by name: ${
    addresses.map((address) => `--insist ${address}`).join(" ")
  }, or insist: ${JSON.stringify(addresses)} in a script`;

/**
 * Refuses to take functions that the host uses: all of them, and before
 * anything is changed.
 *
 * @param host The host.
 * @param functions What is to be taken from it.
 * @param insist The addresses of those that are taken all the same.
 * @param options A time limit, in milliseconds, and a signal. A disk that its
 * driver has only just brought is waited for, a second at most.
 * @param how Says in the error's hint how to insist.
 * @throws {TypeError} When one of `insist` is no PCI address.
 * @throws {VfioError} `HOST_IN_USE`, which names every use and how to insist.
 *
 * @example
 * ```ts
 * import { Host } from "@passthru/vfio";
 * import { simulate } from "@passthru/vfio/sim";
 * import { refuseInUse } from "@passthru/vfio/host";
 *
 * const host = simulate({
 *   functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
 * });
 * await refuseInUse(host, host.functions());
 * ```
 */
export async function refuseInUse(
  host: DeviceHost,
  functions: readonly PciFunction[],
  insist: readonly string[] = [],
  options: WaitOptions = {},
  how: HowToInsist = BY_NAME,
): Promise<void> {
  const wanted = new Set(
    insist.map((address) => formatPciAddress(parsePciAddress(address))),
  );
  const asked = functions.filter(({ address }) => !wanted.has(address));
  if (asked.length === 0) return;
  const { timeout = PATIENCE, ...rest } = options;
  const deadline = new Deadline({
    ...rest,
    timeout: Math.min(timeout, PATIENCE),
  });
  let uses: Use[] = [];
  await deadline.until(() => {
    const now = new HostUse(host);
    uses = asked.flatMap((fn) => now.of(fn));
    if (uses.length === 0) return true;
    if (!uses.every(({ kind }) => PASSING.has(kind))) throw refusal(uses, how);
  }, () => refusal(uses, how));
}

function refusal(uses: readonly Use[], how: HowToInsist): VfioError {
  const byDevice = Map.groupBy(uses, ({ device }) => device);
  const addresses = [...byDevice.keys()];
  const texts = [...byDevice.values()].map((uses) =>
    uses.map(({ problem }) => problem).join("; ")
  );
  const one = addresses.length === 1;
  return new VfioError("HOST_IN_USE", {
    device: one ? addresses[0] : undefined,
    problem: one
      ? `the host uses it: ${texts[0]}`
      : "the host uses what would be taken from it:\n" +
        addresses.map((address, i) => `  ${address}: ${texts[i]}`).join("\n"),
    hint: `end that use, or ${how(addresses)}`,
  });
}
