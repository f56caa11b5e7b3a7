/**
 * Every kernel call of an operation fails in turn, in every possible way.
 * Nothing stays open, mapped, locked or claimed. A function has its previous
 * driver or the requested one. The error is one of the library's, and the
 * operation can be repeated.
 */
import "../virtual_time.ts";
import "./faults/migration.ts";
import "./faults/no_iommu.ts";
import "./faults/passed.ts";
import "./faults/attach.ts";
import "./faults/space.ts";
import "./faults/device.ts";
import "./faults/take.ts";
import "./faults/hang.ts";
