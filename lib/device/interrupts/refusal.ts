import { toVfioError, VfioError, type VfioErrorCode } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";

/** The answers to enabling interrupts that have a meaning of their own. */
const REFUSALS: Readonly<
  Record<string, readonly [code: VfioErrorCode, problem: string, hint: string]>
> = {
  // request_irq() without IRQF_SHARED
  EBUSY: [
    "DEVICE_BUSY",
    "another device uses the same interrupt line, and this one cannot tell " +
    "which of them fired",
    "enable its MSI or MSI-X, or unbind the driver of the other device",
  ],
  ENODEV: [
    "NOT_SUPPORTED",
    "the host has no interrupt line for it",
    "enable its MSI or MSI-X",
  ],
  ENOSPC: [
    "VECTORS_EXHAUSTED",
    "the host has no interrupt vectors left for it",
    "enable fewer, or end other users of vectors",
  ],
};

/**
 * Makes the error for when enabling interrupts has failed.
 *
 * @param error What was thrown.
 * @param doing What was being done: "enable msix".
 * @param device The device.
 */
export function enableError(
  error: unknown,
  doing: string,
  device: string,
): unknown {
  const known = Object.entries(REFUSALS)
    .find(([errno]) => hasErrno(error, errno))?.[1];
  if (known === undefined) return toVfioError(error, doing, device);
  const [code, problem, hint] = known;
  return new VfioError(code, {
    device,
    problem: `cannot ${doing}: ${problem}`,
    hint,
    cause: error,
  });
}

/** Makes the error for what a device's interrupts cannot do. */
export function unsupported(
  device: string,
  problem: string,
  hint?: string,
): VfioError {
  return new VfioError("NOT_SUPPORTED", { device, problem, hint });
}
