/**
 * Which virtual functions drivers make: what sysfs says only once they are
 * bound, or not at all.
 *
 * @module
 */

/**
 * How many virtual functions a driver allows, whatever the hardware has
 * (`pci_sriov_set_totalvfs()`).
 */
const LIMITS: Readonly<Record<string, number>> = {
  igb: 7,
  ixgbe: 63,
  ngbe: 7,
  txgbe: 63,
};

const HOST_DRIVER = "give it the host's driver";
const WHOLE = "hand out the function itself";

/**
 * Drivers without `sriov_configure`, to which the kernel answers `ENOENT`
 * (`sriov_numvfs_store()` in `drivers/pci/iov.c`), each with what to do instead.
 */
const MAKE_NONE: Readonly<Record<string, string>> = {
  "pci-stub": HOST_DRIVER,
  "uio_pci_generic": HOST_DRIVER,
  "nouveau": WHOLE,
  "megaraid_sas": WHOLE,
  "mpt3sas": WHOLE,
  "qla2xxx": WHOLE,
  "smartpqi": WHOLE,
  "mlx4_core": "put options mlx4_core num_vfs=COUNT into /etc/modprobe.d and " +
    "load it again",
};

/** What lets a function have more, by its driver. */
const MORE: Readonly<Record<string, string>> = {
  "i915":
    "boot with i915.enable_guc=3 and i915.max_vfs=7, where the kernel's " +
    "i915 has them",
  "mlx5_core": "set SRIOV_EN=1 and NUM_OF_VFS with mlxconfig, and switch the " +
    "machine off and on again",
  "xe": "boot with xe.max_vfs=COUNT",
};

/**
 * The most virtual functions that a driver makes.
 *
 * @param driver The driver.
 */
export function virtualLimit(driver: string | undefined): number {
  return of(LIMITS, driver) ?? Infinity;
}

/**
 * What to do where a driver makes no virtual functions when it is asked to.
 *
 * @param driver The driver.
 * @returns `undefined` for others.
 */
export function insteadOfDriver(driver: string): string | undefined {
  return of(MAKE_NONE, driver);
}

/**
 * What lets a function have more virtual functions than it says.
 *
 * @param driver Its driver.
 */
export function moreVirtual(driver: string | undefined): string {
  return of(MORE, driver) ??
    "some cards have a setting for this in their firmware";
}

function of<T>(
  table: Readonly<Record<string, T>>,
  name: string | undefined,
): T | undefined {
  return name !== undefined && Object.hasOwn(table, name)
    ? table[name]
    : undefined;
}
