/**
 * The doors to what only one backend has.
 *
 * @module
 */

import { VfioError } from "../lib/errors.ts";
import type { IommuContext } from "./backend.ts";
import { IommufdContext } from "./iommufd/context.ts";
import { SpaceIommufd } from "./iommufd/door.ts";
import { Iommufd } from "./iommufd/iommufd.ts";

export type { SpaceIommufd };

/**
 * What an address space is in the kernel.
 *
 * @param context What serves it; `undefined` without a device.
 * @throws {VfioError} `NOT_SUPPORTED` with another backend, `DETACHED` without a
 * device.
 */
export function iommufdOf(context: IommuContext | undefined): SpaceIommufd {
  if (context === undefined) {
    throw new VfioError("DETACHED", {
      problem:
        "no device is attached to the address space, so the kernel has " +
        "nothing of it",
      hint: "attach a device first",
    });
  }
  if (!(context instanceof IommufdContext)) {
    throw new VfioError("NOT_SUPPORTED", {
      problem: "the address space lives in a VFIO container, not in an iommufd",
      hint: 'make it with the backend "iommufd"; space.backend has the reason',
    });
  }
  return context.door(({ kernel, fd, ioas, shared }) =>
    shared === undefined
      ? new SpaceIommufd(new Iommufd(kernel, fd), ioas, true)
      : new SpaceIommufd(shared as Iommufd, ioas, false)
  ) as SpaceIommufd;
}
