import { infoCapabilities } from "../../../backends/info.ts";

/** A member of the capability chain behind an info struct. */
export interface DeviceCapability {
  /** What it describes: `VFIO_DEVICE_INFO_CAP_*`. */
  readonly id: number;
  /** Its struct, with its header, as the kernel wrote it. */
  readonly bytes: Uint8Array;
}

/**
 * Reads the capabilities of an info struct, each with its bytes.
 *
 * @param bytes The info struct and the chain behind it.
 * @param first The struct's `cap_offset`; 0 where there is no chain.
 */
export function readCapabilities(
  bytes: Uint8Array,
  first: number,
): DeviceCapability[] {
  const chain = [...infoCapabilities(bytes, first)];
  return chain.map(({ id, at }) => {
    // The chain has no lengths: a capability ends where another one begins.
    const ends = chain.map((other) => other.at).filter((end) => end > at);
    return { id, bytes: bytes.slice(at, Math.min(bytes.length, ...ends)) };
  });
}
