import { assertEquals } from "@std/assert";
import type { HostFiles } from "../../host_files.ts";
import { at, DEFAULT, hostWith, NIC, uses, usual } from "./used_host.ts";

const ZEROS = "0".repeat(32);

/** Lines of `/proc/net/ipv6_route`, by interface and flags. */
function ipv6Defaults(...routes: [string, string][]): string {
  return routes.map(([name, flags]) =>
    `${ZEROS} 00 ${ZEROS} 00 ${ZEROS} 00000400 00000001 00000000 ${flags} ` +
    `${name.padStart(8)}\n`
  ).join("");
}

/** An interface in a bond, which is below a VLAN, which is in a bridge. */
function stacked(): HostFiles {
  const net = "/sys/devices/virtual/net";
  return usual().network(`${at(NIC)}/net/eth0`, "bond0")
    .network(`${net}/bond0`, "bond0.7").network(`${net}/bond0.7`, "br0")
    .network(`${net}/br0`).network(`${net}/br1`);
}

/** Routes, and the uses that are found of `NIC`. */
const ROUTES: Record<string, [HostFiles, [string, string][]]> = {
  "it carries the default route": [
    usual().routes(["eth0", ...DEFAULT], ["eth0", "0002A8C0", "00FFFFFF"]),
    [["default route", "the IPv4 default route is through eth0"]],
  ],
  "it carries the default routes of IPv4 and IPv6": [
    usual().routes(["eth0", ...DEFAULT])
      .file(
        "/proc/1000/net/ipv6_route",
        ipv6Defaults(["lo", "00200200"], ["eth0", "00450003"]),
      ),
    [
      ["default route", "the IPv4 default route is through eth0"],
      ["default route", "the IPv6 default route is through eth0"],
    ],
  ],
  "it is in a bond, that in a VLAN, and that in a bridge": [
    stacked().routes(["br0", ...DEFAULT]),
    [[
      "default route",
      "the IPv4 default route is through br0 on bond0.7 on bond0 on eth0",
    ]],
  ],
  "another bridge carries the default route": [
    stacked().routes(["br1", ...DEFAULT]),
    [
      ["network", "bond0 is on eth0"],
      ["network", "bond0.7 is on eth0"],
      ["network", "br0 is on eth0"],
    ],
  ],
  "networks are reached through it": [
    usual().routes(["eth0", "0002A8C0", "00FFFFFF"], ["lo", ...DEFAULT])
      .file(
        "/proc/1000/net/if_inet6",
        "20010db8000000000000000000000001 03 40 00 80     eth0\n" +
          "fe800000000000000000000000000001 03 40 20 80     eth0\n",
      ),
    [
      ["network", "the network 192.168.2.0/24 is through eth0"],
      ["network", "the network of 2001:db8::1/64 is through eth0"],
    ],
  ],
  "a network is reached through a bridge that it is in": [
    stacked().routes(["br0", "0000000A", "000000FF"]),
    [[
      "network",
      "the network 10.0.0.0/8 is through br0 on bond0.7 on bond0 on eth0",
    ]],
  ],
  "it carries nothing": [usual(), []],
  "the default route is unreachable, or down": [
    usual().routes(["eth0", ...DEFAULT, "0201"], ["eth0", ...DEFAULT, "0002"])
      .file("/proc/1000/net/ipv6_route", ipv6Defaults(["eth0", "00200200"])),
    [],
  ],
};

for (const [name, [files, expected]] of Object.entries(ROUTES)) {
  Deno.test(`usesOf() follows an interface when ${name}`, () => {
    assertEquals(uses(hostWith(files), NIC), expected);
  });
}

const ENVIRON = (connection: string) =>
  `PATH=/bin\0SSH_CONNECTION=${connection}\0HOME=/root\0`;

const IF_INET6 = "00000000000000000000000000000001 01 80 10 80       lo\n" +
  "20010db8000000000000000000000007 02 40 00 80     eth0\n" +
  "fe800000000000000000000000000001 02 40 20 80     eth0\n" +
  "fe800000000000000000000000000001 03 40 20 80     eth1\n";

function addressed(connection: string): HostFiles {
  return stacked()
    .routes(["br0", "0002A8C0", "00FFFFFF"], ["br1", "00000A0A", "0000FFFF"])
    .file("/proc/1000/net/if_inet6", IF_INET6)
    .file("/proc/1000/environ", ENVIRON(connection));
}

/** SSH sessions, and their interfaces. */
const SESSIONS: Record<string, string | undefined> = {
  "192.168.2.9 50000 192.168.2.7 22": "br0 on bond0.7 on bond0 on eth0",
  "::ffff:192.168.2.9 50000 ::ffff:192.168.2.7 22":
    "br0 on bond0.7 on bond0 on eth0",
  "10.10.0.9 50000 10.10.0.7 22": undefined,
  "127.0.0.1 50000 127.0.0.1 22": undefined,
  "2001:db8::9 50000 2001:db8::7 22": "eth0",
  "fe80::9%eth0 50000 fe80::1%eth0 22": "eth0",
  "fe80::9%2 50000 fe80::1%2 22": "eth0",
  "fe80::9%eth1 50000 fe80::1%eth1 22": undefined,
  "::1 50000 ::1 22": undefined,
};

for (const [connection, through] of Object.entries(SESSIONS)) {
  Deno.test(`usesOf() finds the interface of the SSH session ${connection}`, () => {
    const [client] = connection.split(" ");
    assertEquals(
      uses(hostWith(addressed(connection)), NIC)
        .filter(([kind]) => kind !== "network"),
      through === undefined ? [] : [[
        "ssh session",
        `the SSH session from ${client} is through ${through}`,
      ]],
    );
  });
}

Deno.test("usesOf() finds the SSH session of an ancestor when sudo has cleared it", () => {
  const files = addressed("2001:db8::9 50000 2001:db8::7 22");
  const environ = files.all["/proc/1000/environ"]!;
  files.file("/proc/1000/environ", "SUDO_USER=me\0")
    .file("/proc/1000/status", "Name:\tdeno\nPid:\t1000\nPPid:\t900\n")
    .file("/proc/900/status", "Name:\tsudo\nPid:\t900\nPPid:\t800\n")
    .file("/proc/800/status", "Name:\tbash\nPid:\t800\nPPid:\t1\n")
    .file("/proc/800/environ", environ);
  assertEquals(uses(hostWith(files), NIC), [
    ["ssh session", "the SSH session from 2001:db8::9 is through eth0"],
  ]);
});
