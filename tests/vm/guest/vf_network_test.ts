/**
 * MAC addresses and VLANs of a network card's virtual functions: a state sets
 * them, another program and a driver see them, and restore undoes them.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { VfioError } from "../../../mod.ts";
import {
  apply,
  type DesiredState,
  plan,
  restore,
} from "../../../lib/provision/mod.ts";
import {
  networkInterfaces,
  NO_MAC,
  readVirtualNetwork,
  setVirtualNetwork,
} from "../../../lib/host/driver/vf_network.ts";
import { addressOf, host, machine } from "./setup.ts";

/**
 * The time limit, in milliseconds. Every write is a process of its own, which
 * is slow under emulation.
 */
const LIMIT = { timeout: 120_000 };

const MACS = ["52:54:00:12:34:50", "52:54:00:12:34:51", "52:54:00:12:34:52"];

function wanted(vlan: number): DesiredState {
  return {
    functions: [{
      select: addressOf("igb0"),
      virtualFunctions: {
        count: 3,
        driver: "vfio-pci",
        vlan,
        overrides: {
          "0": { mac: MACS[0]! },
          "1": { mac: MACS[1]!.toUpperCase(), vlan: 0 },
          "2": { mac: MACS[2]!, driver: "igbvf" },
        },
      },
    }],
  };
}

/** Runs iproute2, and returns its output. */
async function ip(...args: string[]): Promise<string> {
  const { stdout, stderr, success } = await new Deno.Command("ip", { args })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** Each virtual function by iproute2: MAC address, VLAN and priority. */
async function networksByIp(network: string): Promise<string[]> {
  const text = await ip("-json", "link", "show", "dev", network);
  const [{ vfinfo_list = [] }] = JSON.parse(text);
  return vfinfo_list.map((
    { address, vlan_list: [vlan] = [] }: {
      address: string;
      vlan_list?: { vlan?: number; qos?: number }[];
    },
  ) => `${address} ${vlan?.vlan ?? 0} ${vlan?.qos ?? 0}`);
}

/** The same, by this library. */
function networksByLibrary(): string[] {
  const fn = host.function(addressOf("igb0"));
  return fn.virtualFunctions.map((_, i) => {
    const { mac, vlan } = readVirtualNetwork(fn, i)!;
    return `${mac} ${vlan.id} ${vlan.qos}`;
  });
}

function errnoOf(act: () => void): string {
  const { cause } = assertThrows(act, VfioError);
  return (cause as { code: string }).code;
}

// Other machines have no network card with virtual functions.
if (machine.devices.igb0 !== undefined) {
  Deno.test("apply() sets MAC addresses and VLANs, which ip and igbvf see, and restore() removes them", async () => {
    const fn = host.function(addressOf("igb0"));
    const [network] = networkInterfaces(fn);
    assertEquals(readVirtualNetwork(fn, 0), undefined);
    // igb does not answer the drivers of its virtual functions while it is
    // down.
    await ip("link", "set", network!, "up");

    await apply(host, wanted(12), LIMIT);
    const set = [`${MACS[0]} 12 0`, `${MACS[1]} 0 0`, `${MACS[2]} 12 0`];
    assertEquals(networksByLibrary(), set);
    assertEquals(await networksByIp(network!), set);
    assertEquals(plan(host, wanted(12)).steps, []);
    const drivers = fn.virtualFunctions.map(({ driver }) => driver);
    assertEquals(drivers, ["vfio-pci", "vfio-pci", "igbvf"]);
    const third = fn.virtualFunctions[2]!;
    const [name] = networkInterfaces(third);
    const seen = Deno.readTextFileSync(`${third.path}/net/${name}/address`);
    assertEquals(seen.trim(), MACS[2]);

    // A second state changes only what differs, and its end restores that.
    const applied = await apply(host, wanted(7), LIMIT);
    assertEquals(
      applied.steps.map(({ kind }) => kind),
      ["vf network", "vf network"],
    );
    assertEquals(await networksByIp(network!), [
      `${MACS[0]} 7 0`,
      `${MACS[1]} 0 0`,
      `${MACS[2]} 7 0`,
    ]);
    assertEquals((await applied.restore(LIMIT)).left, []);
    assertEquals(await networksByIp(network!), set);

    assertEquals((await restore(host, LIMIT)).left, []);
    assertEquals(fn.virtualFunctions, []);
    assertEquals(await networksByIp(network!), []);
    await ip("link", "set", network!, "down");
  });

  Deno.test("setVirtualNetwork() answers what the simulation answers when igb refuses", async () => {
    const address = addressOf("igb0");
    const fn = host.function(address);
    const applied = await apply(host, {
      functions: [{
        select: address,
        virtualFunctions: { count: 1, driver: null },
      }],
    }, LIMIT);
    const vlan = (id: number, qos = 0, protocol = 0x8100) => ({
      vlan: { id, qos, protocol },
    });
    assertEquals(
      errnoOf(() => setVirtualNetwork(fn, 0, { mac: "01:00:5e:00:00:01" })),
      "EINVAL",
    );
    assertEquals(errnoOf(() => setVirtualNetwork(fn, 0, vlan(4096))), "EINVAL");
    assertEquals(errnoOf(() => setVirtualNetwork(fn, 0, vlan(1, 8))), "EINVAL");
    assertEquals(
      errnoOf(() => setVirtualNetwork(fn, 0, vlan(1, 0, 0x88a8))),
      "EPROTONOSUPPORT",
    );
    assertEquals(readVirtualNetwork(fn, 1), undefined);
    setVirtualNetwork(fn, 0, { mac: MACS[0]!, ...vlan(5, 3) });
    assertEquals(networksByLibrary(), [`${MACS[0]} 5 3`]);
    setVirtualNetwork(fn, 0, { mac: NO_MAC, ...vlan(0) });
    assertEquals(networksByLibrary(), [`${NO_MAC} 0 0`]);
    assertEquals((await applied.restore(LIMIT)).left, []);
  });
}
