import { toVfioError, VfioError } from "../../errors.ts";
import { hasErrno } from "../../kernel/errno.ts";
import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { RegisterGate } from "../register_gate.ts";

/** What features need of their device. */
export interface FeatureDevice {
  /** Its name, for errors. */
  readonly name: string;
  /** The system that is asked. */
  readonly kernel: Kernel;
  /** Its descriptor; throws `DETACHED` once it is detached. */
  readonly handle: Fd;
  /** Closes its mapped registers while it sleeps. */
  readonly gate: RegisterGate;
  /**
   * Has something released at its detach at the latest. The function that it
   * returns is called when that was released before.
   */
  hold(what: string, release: () => void | Promise<void>): () => void;
}

/**
 * Explains why the kernel refused a feature.
 *
 * @param device The device.
 * @param feature What it is, as in "it has no VF token".
 * @param doing What was being done, as in "cannot set the VF token".
 * @param cause The kernel's answer.
 */
export function featureRefused(
  { name }: { readonly name: string },
  feature: string,
  doing: string,
  cause: unknown,
): unknown {
  if (!hasErrno(cause, "ENOTTY", "EOPNOTSUPP")) {
    return toVfioError(cause, doing, name);
  }
  return new VfioError("NOT_SUPPORTED", {
    device: name,
    problem: `it has no ${feature}`,
    hint: "device.features.list() has what its driver and this kernel offer",
    cause,
  });
}
