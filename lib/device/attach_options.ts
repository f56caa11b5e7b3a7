import { VfioError } from "../errors.ts";
import type { HostDevice } from "../host/device.ts";
import type { TracedEvent } from "../tracing.ts";

const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

/**
 * Throws a `TypeError` for what is no VF token.
 *
 * @param token The token.
 */
export function assertToken(token: string | undefined): void {
  // The kernel reads 16 bytes, even where fewer are given.
  if (token === undefined || UUID.test(token)) return;
  throw new TypeError(
    "Cannot use the VF token: expected a UUID such as " +
      "00112233-4455-6677-8899-aabbccddeeff",
  );
}

/**
 * Throws `NOT_SUPPORTED` for a device that cannot pin on demand: the IOMMU of
 * any but a mediated one reaches all that is mapped, at any time.
 *
 * @param device The device.
 */
export function assertMediated({ bus, name }: HostDevice): void {
  if (bus === "mdev") return;
  throw new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: "only a mediated device can pin on demand, and it is on the " +
      `${bus} bus`,
    hint: "leave pinsOnDemand out",
  });
}

/** What a trace tells of a device. */
export function described(device: HostDevice): TracedEvent {
  return { device: device.name, group: device.iommuGroup?.id };
}
