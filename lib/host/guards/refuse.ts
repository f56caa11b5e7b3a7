/**
 * Refusing to take what the host uses.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { Deadline, type WaitOptions } from "../driver/deadline.ts";
import type { DeviceHost, HostDevice } from "../device.ts";
import { formatPciAddress, parsePciAddress } from "../../pci/address.ts";
import { HostUse } from "./uses.ts";
import type { Use, UseKind } from "./use.ts";

/**
 * Uses that can end by themselves: the kernel claims a disk while it reads the
 * partition table, and udev opens new nodes.
 */
const PASSING: ReadonlySet<UseKind> = new Set(["open", "volume"]);

/** How long to wait for such a use to end, in milliseconds. */
const PATIENCE = 1000;

/** Makes the clause that says how to insist on devices. */
export type HowToInsist = (addresses: readonly string[]) => string;

const BY_NAME: HowToInsist = (addresses) =>
  `insist by name: ${
    addresses.map((address) => `--insist ${address}`).join(" ")
  }, or insist: ${JSON.stringify(addresses)} in a script`;

/**
 * Refuses to take devices when the host uses one of them, before anything is
 * changed.
 *
 * @param host The host.
 * @param devices The devices to take.
 * @param insist The addresses of functions that are taken even if they are
 * used.
 * @param options A time limit, in milliseconds, and a signal. A use that can
 * end by itself is waited for, a second at most.
 * @param how Makes the part of the error's hint that says how to insist.
 * @throws {TypeError} When one of `insist` is not a PCI address.
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
  devices: readonly HostDevice[],
  insist: readonly string[] = [],
  options: WaitOptions = {},
  how: HowToInsist = BY_NAME,
): Promise<void> {
  const wanted = new Set(
    insist.map((address) => formatPciAddress(parsePciAddress(address))),
  );
  const asked = devices.filter(({ name }) => !wanted.has(name));
  if (asked.length === 0) return;
  const { timeout = PATIENCE, ...rest } = options;
  const deadline = new Deadline({
    ...rest,
    timeout: Math.min(timeout, PATIENCE),
  });
  let uses: Use[] = [];
  await deadline.until(() => {
    const now = new HostUse(host);
    uses = asked.flatMap((device) => now.of(device));
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
