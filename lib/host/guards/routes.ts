/**
 * The kernel's routes: which network interface carries what. procfs shows the
 * main table only, and of an IPv4 route with several next hops the first one.
 *
 * @module
 */

import type { Kernel } from "../../kernel/kernel.ts";
import { ifPresent } from "../sysfs.ts";
import { ipv4Number, ipv4Text, ipv6Digits, ipv6Text } from "./ip_address.ts";

/** include/uapi/linux/route.h */
const RTF_UP = 1;
const RTF_REJECT = 0x200;

/** `IPV6_ADDR_SCOPE_GLOBAL` in `include/net/ipv6.h` */
const GLOBAL_SCOPE = "00";

/** A default route. */
export interface DefaultRoute {
  /** Its protocol. */
  readonly family: "IPv4" | "IPv6";
  /** Its interface. */
  readonly name: string;
}

/** A route of IPv4. */
interface Route {
  readonly name: string;
  readonly destination: number;
  readonly mask: number;
}

/** Routes and addresses. Each part is read when it is first needed. */
export class Routes {
  readonly #kernel: Kernel;
  #defaults: readonly DefaultRoute[] | undefined;
  #routes: readonly Route[] | undefined;

  /** @param kernel The system. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** The default routes. */
  get defaults(): readonly DefaultRoute[] {
    return this.#defaults ??= [
      ...this.#ipv4Routes.filter(({ mask }) => mask === 0)
        .map(({ name }): DefaultRoute => ({ family: "IPv4", name })),
      ...this.#ipv6Defaults().map((name): DefaultRoute => ({
        family: "IPv6",
        name,
      })),
    ];
  }

  /**
   * The interfaces that have one of this host's addresses. For an IPv4 address,
   * those through which its network is reached.
   *
   * @param address The address, which can have a zone: `fe80::1%eth0`.
   */
  interfacesWith(address: string): string[] {
    const [text = "", zone] = address.split("%");
    const [, mapped] = /^::ffff:([\d.]+)$/i.exec(text) ?? [];
    const ipv4 = ipv4Number(mapped ?? text);
    if (ipv4 !== undefined) return this.#ipv4Interfaces(ipv4);
    const ipv6 = ipv6Digits(text);
    return ipv6 === undefined ? [] : this.#ipv6Interfaces(ipv6, zone);
  }

  /**
   * The networks that are reached through an interface, but for the default
   * route: those of IPv4, and those of the global addresses of IPv6.
   *
   * @param name The interface.
   */
  networksThrough(name: string): string[] {
    return [
      ...this.#ipv4Routes.filter((route) =>
        route.name === name && route.mask !== 0
      ).map(({ destination, mask }) =>
        `the network ${ipv4Text(destination)}/${prefixOf(mask)}`
      ),
      ...this.#lines("if_inet6").flatMap((line) => {
        const [address = "", , prefix = "", scope, , on] = line.trim()
          .split(/\s+/);
        return on === name && scope === GLOBAL_SCOPE
          ? [`the network of ${ipv6Text(address)}/${parseInt(prefix, 16)}`]
          : [];
      }),
    ];
  }

  get #ipv4Routes(): readonly Route[] {
    return this.#routes ??= this.#lines("route").slice(1).flatMap((line) => {
      const [name = "", destination = "", , flags, , , , mask = ""] = line
        .split("\t");
      if (!isUsed(flags)) return [];
      return [{
        name,
        destination: networkOrder(destination),
        mask: networkOrder(mask),
      }];
    });
  }

  #ipv4Interfaces(address: number): string[] {
    // A session to 127.0.0.1 comes through a tunnel, from an unknown interface.
    if (address >>> 24 === 127) return [];
    const through = this.#ipv4Routes.filter(({ destination, mask }) =>
      ((address & mask) >>> 0) === destination
    );
    const longest = Math.max(...through.map(({ mask }) => mask));
    return through.filter(({ mask }) => mask === longest)
      .map(({ name }) => name);
  }

  #ipv6Defaults(): string[] {
    return this.#lines("ipv6_route").flatMap((line) => {
      const [destination = "", prefix, , , , , , , flags, name] = line
        .split(/\s+/);
      const everything = /^0+$/.test(destination) && prefix === "00";
      return everything && isUsed(flags) && name !== undefined ? [name] : [];
    });
  }

  #ipv6Interfaces(digits: string, zone: string | undefined): string[] {
    return this.#lines("if_inet6").flatMap((line) => {
      const [address, index = "", , , , name = ""] = line.trim().split(/\s+/);
      const here = zone === undefined || zone === name ||
        zone === String(parseInt(index, 16));
      return address === digits && here && name !== "lo" ? [name] : [];
    });
  }

  /** The lines of a file about this process's network namespace. */
  #lines(name: string): string[] {
    const read = () => this.#kernel.readFile(`/proc/self/net/${name}`);
    return (ifPresent(read) ?? "").split("\n").filter((line) => line !== "");
  }
}

function isUsed(flags = "0"): boolean {
  const bits = parseInt(flags, 16);
  return (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0;
}

/**
 * Reads four bytes in network order, as `%08X` has printed them on this
 * machine.
 */
function networkOrder(digits: string): number {
  const bytes = digits.match(/../g) ?? [];
  return parseInt(bytes.reverse().join(""), 16);
}

/** How many bits of a mask are set. */
function prefixOf(mask: number): number {
  return mask.toString(2).replaceAll("0", "").length;
}
