import { VFIO_DEVICE_FEATURE_PCI_VF_TOKEN } from "../../uapi/vfio/feature.ts";
import { type FeatureDevice, featureRefused } from "./feature_device.ts";
import { request } from "./request.ts";

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
 * Sets the secret of a physical function's virtual functions.
 *
 * @param device The physical function.
 * @param token A UUID.
 */
export function setVfToken(device: FeatureDevice, token: string): void {
  assertToken(token);
  const bytes = Uint8Array.fromHex(token.replaceAll("-", ""));
  try {
    request(device.handle, VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, "set", bytes);
  } catch (error) {
    throw featureRefused(
      device,
      "VF token, as a physical function with vfio-pci has",
      "set the VF token",
      error,
    );
  } finally {
    bytes.fill(0);
  }
}
