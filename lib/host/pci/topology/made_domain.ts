/**
 * PCI domains that the driver of a function makes: Intel's Volume Management
 * Device has NVMe drives in one (`drivers/pci/controller/vmd.c`). These
 * functions come and go with that driver, and do DMA under that function's
 * name, so they are in its IOMMU group.
 *
 * @module
 */

import type { Kernel } from "../../../kernel/kernel.ts";
import { namesIn } from "../../sysfs.ts";

/** Where a device is in sysfs. */
interface Placed {
  readonly path: string;
}

const ROOT_BUS = /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/;
/** The last root bus of a path, if it is below a function. */
const MADE =
  /^(.*\/[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/pci[0-9a-f]{4,8}:/;
const FUNCTION = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/**
 * Whether a device is in the domain that a function's driver makes.
 *
 * @param device The device.
 * @param maker The function.
 */
export function isMadeBy(device: Placed, maker: Placed): boolean {
  return device.path.startsWith(`${maker.path}/pci`);
}

/**
 * The function whose driver makes the domain that a function is in.
 *
 * @param device The function.
 * @returns The other function; `undefined` in a domain of the platform's.
 */
export function makerOf<Device>(
  { host, path }: Placed & {
    readonly host: { deviceAt(path: string): Device };
  },
): Device | undefined {
  const maker = makerPath(path);
  return maker === undefined ? undefined : host.deviceAt(maker);
}

/** The path of the function, from the path of one in its domain. */
export function makerPath(path: string): string | undefined {
  return MADE.exec(path)?.[1];
}

/**
 * The addresses of the functions that disappear with a function's driver: those
 * in the domain that it makes.
 *
 * @param maker The function.
 */
export function madeBy(
  { host: { kernel }, path }: Placed & { readonly host: { kernel: Kernel } },
): string[] {
  const below = (path: string): string[] =>
    namesIn(kernel, path).filter((name) => FUNCTION.test(name))
      .flatMap((name) => [name, ...below(`${path}/${name}`)]);
  return namesIn(kernel, path).filter((name) => ROOT_BUS.test(name))
    .flatMap((bus) => below(`${path}/${bus}`));
}

/**
 * The hint for a function that cannot be handed out because of its domain.
 *
 * @param maker The function whose driver makes its domain.
 */
export function insteadOfMade(maker: { readonly name: string }): string {
  return `hand out ${maker.name} itself, and with it all that is behind it: ` +
    `passthru bind ${maker.name} --insist ${maker.name}; or have no such ` +
    "domain: switch VMD off in the firmware's set-up";
}
