/**
 * What the IOMMU can do beyond translating.
 *
 * @module
 */

import { iommuUnits } from "../../host/iommu/platform.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

const UNITS = "/sys/class/iommu";

/**
 * Bits of an Intel IOMMU's extended capabilities, all of which need scalable
 * mode (`ssads_supported()`, `nested_supported()` and `pasid_supported()` in
 * `drivers/iommu/intel/iommu.h`).
 */
const ECAP = { nest: 26n, pasid: 40n, scalable: 43n, dirty: 45n } as const;

/**
 * Bits of an AMD IOMMU's extended features (`FEATURE_*` in
 * `drivers/iommu/amd/amd_iommu_types.h`). Linux nests no page tables by it.
 */
const EFR = { dirty: 52n } as const;

/** All that its PASIDs take: PPR, GT, GIOSUP and EPHSUP. */
const EFR_PASID = [1n, 4n, 48n, 50n] as const;

interface Features {
  readonly dirty: boolean;
  readonly nesting: boolean;
  readonly pasids: boolean;
  /** What else it takes, as a clause. */
  readonly needs?: string;
}

/** What Linux has of a virtio IOMMU. */
const NONE: Features = { dirty: false, nesting: false, pasids: false };

/**
 * Whether the IOMMU logs which memory devices write, nests page tables, and
 * tells processes of a device apart (PASID). All units must: which of them a
 * device is behind is known when it is attached.
 */
export function* iommuFeatures(examined: Examined): Generator<Finding> {
  const virtual = iommuUnits(examined.kernel)
    .filter(({ maker }) => maker === "virtio");
  const units = examined.names(UNITS)
    .map((unit) =>
      virtual.some(({ name }) => name === unit)
        ? NONE
        : featuresOf(examined, `${UNITS}/${unit}`)
    )
    .filter((features) => features !== undefined);
  if (units.length === 0) return;
  const words = [
    [units.every(({ dirty }) => dirty), "dirty tracking"],
    [units.every(({ nesting }) => nesting), "nested page tables"],
    [units.every(({ pasids }) => pasids), "PASIDs"],
  ] as const;
  const needs = words.some(([has]) => has) ? units[0]!.needs : undefined;
  yield {
    check: "iommu-features",
    verdict: "pass",
    text: "the IOMMU has " +
      words.map(([has, word]) => has ? word : `no ${word}`).join(", ") +
      (needs === undefined ? "" : ` (${needs})`),
  };
}

function featuresOf(examined: Examined, unit: string): Features | undefined {
  const ecap = examined.read(`${unit}/intel-iommu/ecap`);
  if (ecap !== undefined) return ofIntel(BigInt(`0x${ecap}`));
  const features = examined.read(`${unit}/amd-iommu/features`)?.split(":");
  if (features === undefined) return undefined;
  // Two words, whose order differs between kernels (Linux 7.3 has that of the
  // features first). That of the further features has few, low bits.
  const words = features.map((word) => BigInt(`0x${word}`));
  return ofAmd(words.reduce((a, b) => a > b ? a : b));
}

function ofIntel(ecap: bigint): Features {
  const scalable = has(ecap, ECAP.scalable);
  return {
    dirty: scalable && has(ecap, ECAP.dirty),
    nesting: scalable && has(ecap, ECAP.nest),
    pasids: scalable && has(ecap, ECAP.pasid),
    needs: "with intel_iommu=sm_on, where that is not the kernel's default",
  };
}

function ofAmd(efr: bigint): Features {
  return {
    dirty: has(efr, EFR.dirty),
    nesting: false,
    pasids: EFR_PASID.every((bit) => has(efr, bit)),
  };
}

function has(word: bigint, bit: bigint): boolean {
  return (word >> bit & 1n) === 1n;
}
