/**
 * Functions that another process uses, and what it can have at once when this
 * one lets go.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Fd } from "../../../lib/kernel/fd.ts";
import { O_RDWR } from "../../../lib/uapi/fcntl.ts";
import { EDU_ID } from "./edu.ts";
import { descriptors } from "./observe.ts";
import { OtherProcess } from "./other_process.ts";
import { addressOf, forEachBackend, host, machine, refused } from "./setup.ts";

// One for all tests: under emulation it starts slowly.
let other: OtherProcess;
Deno.test.beforeAll(() => {
  other = new OtherProcess();
});
Deno.test.afterAll(() => other[Symbol.asyncDispose]());

for (const theirs of machine.backends) {
  forEachBackend(
    `VfioDevice.detach() lets another process attach at once by ${theirs}`,
    async (setup) => {
      const fn = await setup.take("edu0");
      const device = await setup.attach("edu0");
      device.region(0).map();
      await device.detach();
      await other.attach(fn.address, theirs);
      await other.detach();
      const again = await setup.attach("edu0");
      assertEquals(again.region(0).read32(0), EDU_ID);
    },
  );

  forEachBackend(
    `VfioDevice.attach() names the process that has the function open by ${theirs}`,
    async (setup) => {
      const { address } = await setup.take("edu0");
      await using _theirs = await other.attach(address, theirs);
      const before = descriptors();
      const error = await refused("DEVICE_BUSY", () => setup.attach("edu0"));
      assertEquals(error.device, address);
      assertStringIncludes(error.message, `open in ${other.name}\n`);
      assertEquals(descriptors(), before);
      await other.detach();
      await setup.attach("edu0");
    },
  );

  forEachBackend(
    `VfioDevice.attach() names the process that has another function of the group open by ${theirs}`,
    async (setup) => {
      const { address } = await setup.take("pair1");
      await setup.take("pair0");
      await using _theirs = await other.attach(address, theirs);
      const error = await refused("DEVICE_BUSY", () => setup.attach("pair0"));
      assertEquals(error.device, addressOf("pair0"));
      assertStringIncludes(error.message, `open in ${other.name}\n`);
      await other.detach();
      await setup.attach("pair0");
    },
  );
}

forEachBackend(
  "VfioDevice.attach() names this process when it has the group open by other means",
  async (setup) => {
    const { iommuGroup } = await setup.take("edu0");
    {
      const group = `/dev/vfio/${iommuGroup!.id}`;
      using _group = Fd.open(host.kernel, group, O_RDWR);
      const error = await refused("DEVICE_BUSY", () => setup.attach("edu0"));
      assertStringIncludes(error.message, `deno (process ${Deno.pid})\n`);
    }
    await setup.attach("edu0");
  },
);
