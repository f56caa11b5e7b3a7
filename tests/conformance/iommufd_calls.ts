import type { Ioctl } from "../../lib/uapi/ioctl.ts";
import type { Encodable, Fields, Struct } from "../../lib/uapi/layout.ts";
import { answer } from "./answer.ts";
import type { Iommufd } from "./nodes.ts";

/** What a call's struct holds after it, or the name of its errno. */
export type CallAnswer<F extends Fields> =
  | ReturnType<Struct<F>["decode"]>
  | string;

/**
 * Makes a call on an iommufd.
 *
 * @param iommufd The iommufd.
 * @param operation The call.
 * @param layout Its struct.
 * @param values The members of the struct that are not 0.
 */
export function call<F extends Fields>(
  iommufd: Iommufd,
  operation: Ioctl,
  layout: Struct<F>,
  values: Encodable<F>,
): CallAnswer<F> {
  const argument = layout.alloc(values);
  return answer(() => {
    iommufd.ioctl(operation, argument);
    return layout.decode(argument) as ReturnType<Struct<F>["decode"]>;
  });
}

/**
 * The same, where it is to succeed.
 *
 * @throws {Error} Where it does not.
 */
export function success<F extends Fields>(
  ...parameters: Parameters<typeof call<F>>
): ReturnType<Struct<F>["decode"]> {
  const answered = call(...parameters);
  if (typeof answered !== "string") return answered;
  throw new Error(`${parameters[1].name}: ${answered}`);
}
