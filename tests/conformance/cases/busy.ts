/**
 * Functions that another process uses, or can use at once when this one
 * detaches.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Fd } from "../../../lib/kernel/fd.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../failures.ts";
import { EDU_ID } from "../../vm/guest/edu.ts";
import { forEachBackend, SYSTEMS } from "../setup.ts";

// One process for all tests, as it starts slowly under emulation.
const others = new AsyncDisposableStack();
Deno.test.beforeAll(() => {
  for (const system of SYSTEMS) others.use(system.startOther());
});
Deno.test.afterAll(() => others.disposeAsync());

for (const otherBackend of ["legacy", "iommufd"] as const) {
  forEachBackend(
    `VfioDevice.detach() lets another process attach at once by ${otherBackend}`,
    async (setup) => {
      const { other } = setup.bench;
      const fn = await setup.take("edu0");
      const device = await setup.attach("edu0");
      device.region(0).map();
      await device.detach();
      await other.attach(fn.address, otherBackend);
      await other.detach();
      const again = await setup.attach("edu0");
      assertEquals(again.region(0).read32(0), EDU_ID);
    },
    { on: otherBackend },
  );

  forEachBackend(
    `VfioDevice.attach() names the process that has the function open by ${otherBackend}`,
    async (setup) => {
      const { other } = setup.bench;
      const { address } = await setup.take("edu0");
      await using _theirs = await other.attach(address, otherBackend);
      const before = setup.descriptors;
      const error = await refused("DEVICE_BUSY", () => setup.attach("edu0"));
      assertEquals(error.device, address);
      assertStringIncludes(error.message, `open in ${other.name}\n`);
      assertEquals(setup.descriptors, before);
      await other.detach();
      await setup.attach("edu0");
    },
    { on: otherBackend },
  );

  forEachBackend(
    `VfioDevice.attach() names the process that has another function of the group open by ${otherBackend}`,
    async (setup) => {
      const { other } = setup.bench;
      const { address } = await setup.take("pair1");
      await setup.take("pair0");
      await using _theirs = await other.attach(address, otherBackend);
      const error = await refused("DEVICE_BUSY", () => setup.attach("pair0"));
      assertEquals(error.device, setup.address("pair0"));
      assertStringIncludes(error.message, `open in ${other.name}\n`);
      await other.detach();
      await setup.attach("pair0");
    },
    { on: otherBackend },
  );
}

forEachBackend(
  "Host.take() has another process release the function at once, where it does so on request",
  async (setup) => {
    const { other } = setup.bench;
    const { address } = await setup.take("nvme0");
    const driver = { driver: "nvme", timeout: 5000 };
    await using _theirs = await other.attach(address, setup.backend, true);
    await using taken = await setup.host.take(address, driver);
    assertEquals(taken.device.driver, "nvme");
    await taken.giveBack();
    await setup.attach("nvme0");
  },
);

forEachBackend(
  "VfioDevice.attach() names this process when it has the group open by other means",
  async (setup) => {
    const { iommuGroup } = await setup.take("edu0");
    {
      const group = `/dev/vfio/${iommuGroup!.id}`;
      using _group = Fd.open(setup.kernel, group, O_RDWR);
      const error = await refused("DEVICE_BUSY", () => setup.attach("edu0"));
      assertStringIncludes(error.message, `${setup.bench.processName}\n`);
    }
    await setup.attach("edu0");
  },
);
