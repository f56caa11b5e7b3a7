import { toVfioError, VfioError } from "../../../lib/errors.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";

/**
 * Makes what explains an error: it takes a code, a problem and a hint.
 *
 * @param cause The error.
 * @param what What the problems begin with.
 * @param device The device that it is about.
 */
export function explaining(
  cause: unknown,
  what = "",
  device?: string,
): (code: VfioError["code"], problem: string, hint?: string) => VfioError {
  return (code, problem, hint) =>
    new VfioError(code, { device, problem: what + problem, hint, cause });
}

/**
 * Explains why an iommufd refused a call, as far as the errno means the same for
 * all of its calls (`drivers/iommu/iommufd/main.c`).
 *
 * @param error What the call threw.
 * @param doing What was being done: "allocate a page table".
 * @param device The device that it is about.
 */
export function refused(
  error: unknown,
  doing: string,
  device?: string,
): unknown {
  const explained = explaining(error, `cannot ${doing}: `, device);
  if (hasErrno(error, "ENOTTY")) {
    return explained(
      "NOT_SUPPORTED",
      "this kernel's iommufd has no such call",
      "take a newer kernel",
    );
  }
  if (hasErrno(error, "EOPNOTSUPP")) {
    return explained(
      "NOT_SUPPORTED",
      "the IOMMU, or this kernel's driver of it, lacks what is asked for",
      "device.hardwareInfo() says what it has",
    );
  }
  if (hasErrno(error, "EPERM")) {
    return explained("PERMISSION_DENIED", "this user may not do that");
  }
  if (hasErrno(error, "ENOMEM")) {
    return explained(
      "NO_MEMORY",
      "the kernel has no memory for it, or the limit on locked memory is " +
        "reached",
      "raise the limit: ulimit -l, or LimitMEMLOCK= in the systemd unit",
    );
  }
  return toVfioError(error, doing, device);
}
