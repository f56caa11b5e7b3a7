import { assertEquals } from "@std/assert";
import { simulate } from "../../../lib/sim/mod.ts";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { refused } from "../../failures.ts";

const EDU = "0000:01:00.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";

function setUp() {
  const host = simulate({
    functions: { [EDU]: { model: "edu", driver: "vfio-pci" } },
    mediatedTypes: { [PARENT]: { "mtty-1": { instances: 2 } } },
    mediated: { [UUID]: { parent: PARENT, type: "mtty-1" } },
  });
  const mediated = host.find(`/sys/bus/mdev/devices/${UUID}`);
  return { space: new AddressSpace({ host }), mediated };
}

Deno.test("AddressSpace.discardable is true while all devices pin on demand", async () => {
  const { space, mediated } = setUp();
  assertEquals(space.discardable, true);
  const first = await VfioDevice.attach(mediated, space, {
    pinsOnDemand: true,
  });
  assertEquals([space.discardable, first.pinsOnDemand], [true, true]);
  const arriving = VfioDevice.attach(EDU, space);
  assertEquals(space.discardable, false);
  const second = await arriving;
  assertEquals([space.discardable, second.pinsOnDemand], [false, false]);
  await second.detach();
  assertEquals(space.discardable, true);
  await first.detach();
  const careful = await VfioDevice.attach(mediated, space);
  assertEquals(space.discardable, false);
  await careful.detach();
  await space.close();
});

Deno.test("VfioDevice.attach() throws NOT_SUPPORTED when a function shall pin on demand", async () => {
  const { space } = setUp();
  await refused(
    "NOT_SUPPORTED",
    () => VfioDevice.attach(EDU, space, { pinsOnDemand: true }),
  );
  assertEquals(space.discardable, true);
  await space.close();
});
