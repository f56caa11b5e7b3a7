/**
 * Simulations of unusual machines: each has the content of its listing and the
 * groups of its kernel, and whole groups can be taken and given back.
 */
import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertObjectMatch } from "@std/assert";
import type { Host } from "../../../mod.ts";
import { apply, type DesiredState, plan } from "../../../lib/provision/mod.ts";
import { isEndpointClass } from "../../../lib/host/pci/endpoint.ts";
import { pciTree } from "../../../lib/host/mod.ts";
import type { Topology } from "../../../lib/sim/mod.ts";
import {
  B550,
  DELL,
  DL388P,
  handOut,
  THINKPAD,
  X11SCL,
} from "../odd_machines.ts";

type Functions = NonNullable<Topology["functions"]>;

const LISTINGS: Readonly<Record<string, Topology>> = {
  "a Gigabyte B550": B550,
  "a Dell with VMD": DELL,
  "an HP DL388p Gen8": DL388P,
  "a Supermicro X11SCL": X11SCL,
  "a Thinkpad P53": THINKPAD,
};

/**
 * Functions of the HP that isolate what is behind them, or in their slot,
 * without ACS: `pci_quirk_intel_pch_acs()`, `pci_quirk_mf_endpoint_acs()` in
 * `drivers/pci/quirks.c`.
 */
const ISOLATED_BY_QUIRK = new Set([
  "0000:00:1c.0",
  "0000:00:1c.7",
  "0000:24:00.0",
  "0000:24:00.1",
  "0000:24:00.2",
  "0000:24:00.3",
]);

/** The functions of a listing, changed. */
function changed(
  listing: Topology,
  change: (fn: Functions[string], address: string) => Functions[string],
): Topology {
  const functions = Object.entries(listing.functions!)
    .map(([address, fn]) => [address, change(fn, address)]);
  return { ...listing, functions: Object.fromEntries(functions) };
}

/** The functions of each group. */
function groupsOf(host: Host): string[] {
  return host.groups()
    .map(({ devices }) => devices.map(({ name }) => name).sort().join(" "))
    .sort();
}

for (const [name, listing] of Object.entries(LISTINGS)) {
  let recorded: Promise<Topology> | undefined;
  const recordingOf = () => recorded ??= simulate(listing).snapshot();

  Deno.test(`Host.snapshot() agrees with the listing of ${name}`, async () => {
    const recording = await recordingOf();
    for (const [address, said] of Object.entries(listing.functions!)) {
      const { reserved: _, ...rest } = said;
      assertObjectMatch(recording.functions![address]!, rest);
    }
    assertEquals(await simulate(recording).snapshot(), recording);
  });

  Deno.test(`simulate() groups the functions of ${name} like its kernel when no group is given`, () => {
    const host = simulate(
      changed(listing, ({ group: _, ...fn }, address) => ({
        ...fn,
        ...(listing === DL388P && ISOLATED_BY_QUIRK.has(address) &&
          { acs: true }),
      })),
    );
    assertEquals(groupsOf(host), groupsOf(simulate(listing)));
  });

  Deno.test(`apply() takes the shared groups of ${name}, and restores them`, async () => {
    const host = simulate(listing);
    // The chip set's ISA bridges are in nobody's way.
    const taken = pciTree(host).sharedGroups.flatMap(({ functions }) =>
      functions.map((address) => host.function(address))
        .find((fn) => isEndpointClass(fn.class)) ?? []
    );
    const state: DesiredState = {
      functions: taken.flatMap(({ address }) =>
        handOut(address, "all endpoints").functions!
      ),
    };
    {
      const insist = taken.map(({ address }) => address);
      await using _ = await apply(host, state, { insist });
      for (const { iommuGroup } of taken) {
        assertEquals(iommuGroup!.viability(), { viable: true });
      }
      assertEquals(plan(host, state).steps, []);
    }
    assertEquals(await host.snapshot(), await recordingOf());
  });
}
