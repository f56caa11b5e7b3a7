/**
 * Whether vfio-pci refuses functions by their identity.
 *
 * @module
 */

import { explainDenied } from "../../host/driver/denylist.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { isEndpointClass } from "../../host/pci/endpoint.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

/** Whether vfio-pci accepts the functions, and their virtual functions. */
export function* accepted(examined: Examined): Generator<Finding> {
  const { kernel } = examined;
  yield* examined.checkEach(
    "accepted",
    "vfio-pci refuses none of them by its identity",
    (fn) => {
      if (!isEndpointClass(fn.class)) {
        return {
          text: `it is a part of the machine that nobody else can use: ${
            fn.className ?? "a bridge"
          }`,
          remedy: "leave it alone: without a driver, it is in nobody's way",
          stops: true,
        };
      }
      // A driver of its own has it already.
      if (fn.driver !== undefined && isVfioDriver(fn.driver)) return;
      const { vendor, device } = fn;
      const own = explainDenied(kernel, "vfio-pci", vendor, device);
      if (own !== undefined) {
        return { text: own.problem, remedy: own.hint, stops: true };
      }
      const virtual = examined.read(`${fn.path}/sriov_vf_device`);
      if (virtual === undefined) return;
      const id = parseInt(virtual, 16);
      const theirs = explainDenied(kernel, "vfio-pci", vendor, id);
      return theirs && {
        text: `of its virtual functions: ${theirs.problem}`,
        remedy: theirs.hint,
      };
    },
  );
}
