/**
 * The names that Kubernetes and its plugins take.
 *
 * @module
 */

import { ifPresent } from "../../host/sysfs.ts";
import { shortJson } from "../../printable.ts";
import { DEFAULT_NAME, type Handoff, inexpressible } from "../format.ts";

/** A DNS label: RFC 1123, as Kubernetes' `IsDNS1123Label`. */
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;

const MAX_LABEL = 63;

/** Whether a text is a DNS label. */
export function isLabel(text: string): boolean {
  return LABEL.test(text) && text.length <= MAX_LABEL;
}

/** Whether a text is a DNS subdomain of at most some characters. */
export function isSubdomain(text: string, most = 253): boolean {
  return text.length <= most &&
    text.split(".").every((part) => LABEL.test(part));
}

/** The name of a resource in two parts. */
export interface ResourceName {
  /** `"passthru.local"`. */
  readonly domain: string;
  /** `"vfio"`. */
  readonly name: string;
}

/**
 * Splits the name of an extended resource of Kubernetes, and checks it
 * (`pkg/apis/core/helper`, `IsExtendedResourceName`).
 *
 * @param handoff Has the name.
 * @throws {TypeError} When it is none.
 */
export function resourceName({ options }: Handoff): ResourceName {
  const { name: text = DEFAULT_NAME } = options;
  const [domain = "", name = "", more] = text.split("/");
  // With "requests." before it, it has to be a qualified name too.
  const isName = more === undefined && isSubdomain(domain, 253 - 9) &&
    /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/.test(name) &&
    name.length <= MAX_LABEL;
  const isKept = domain.startsWith("requests.") ||
    /(^|\.)kubernetes\.io$/.test(domain);
  if (isName && !isKept) return { domain, name };
  throw new TypeError(
    `The name is ${shortJson(text)}: expected that of a resource, ` +
      'DOMAIN/NAME such as "example.com/gpu"' +
      (isKept ? ", in a domain that Kubernetes does not keep to itself" : ""),
  );
}

/**
 * The name that a host has for others.
 *
 * @param handoff Has the name, or the host.
 * @throws {TypeError} When the given one is none.
 * @throws {VfioError} `NOT_SUPPORTED` when that of this host is not known, or
 * none.
 */
export function nodeName({ host: { kernel }, options }: Handoff): string {
  const { node } = options;
  if (node !== undefined) {
    if (isSubdomain(node)) return node;
    throw new TypeError(
      `The node is ${shortJson(node)}: expected a DNS name, in lower case`,
    );
  }
  const own = ifPresent(() => kernel.readFile("/proc/sys/kernel/hostname"))
    ?.trim().toLowerCase();
  if (own !== undefined && isSubdomain(own)) return own;
  throw inexpressible(
    undefined,
    own === undefined
      ? "this host's name is not known"
      : `this host's name is ${shortJson(own)}, which is no DNS name`,
    "name it: --node NAME, or node in a script",
  );
}
