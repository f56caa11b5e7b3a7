/**
 * The kernel's request to give a device back, and errors of a device.
 */
import { assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import { failure, refused } from "../../failures.ts";
import { forEachBackend } from "../setup.ts";

forEachBackend(
  "VfioDevice.requests has the kernel's request when somebody unbinds the driver",
  async (setup) => {
    const device = await setup.attach("edu0");
    const events: number[] = [];
    const over = (async () => {
      for await (const count of device.requests) {
        events.push(count);
        await device.detach();
      }
    })();
    const errors = device.irq("request").enable().catch(({ code }) => code);
    assertEquals(await errors, "NOT_SUPPORTED");
    const path = "/sys/bus/pci/drivers/vfio-pci/unbind";
    await setup.kernel.writeFileAsync(path, device.name);
    await over;
    assertEquals(events, [1]);
    assertEquals(setup.host.function(device.name).driver, undefined);
    const bind = "/sys/bus/pci/drivers/vfio-pci/bind";
    await setup.kernel.writeFileAsync(bind, device.name);
  },
);

forEachBackend(
  "VfioDevice.attach() has the device detached on request, where it is told to",
  async (setup) => {
    const fn = await setup.take("nvme0");
    const device = await VfioDevice.attach(fn, setup.space(), {
      detachOnRequest: true,
    });
    const [vector] = await device.irq("msix").enable();
    const waiting = vector!.next().catch(({ code }) => code);
    const path = "/sys/bus/pci/drivers/vfio-pci/unbind";
    await setup.kernel.writeFileAsync(path, fn.address);
    assertEquals(fn.driver, undefined);
    assertEquals(await waiting, "DETACHED");
    assertEquals(device.attached, false);
    const error = failure("DETACHED", () => device.fd);
    assertEquals(
      error.problem,
      "the kernel asked for the device back, so it was detached",
    );
    await device.detach();
    const bind = "/sys/bus/pci/drivers/vfio-pci/bind";
    await setup.kernel.writeFileAsync(bind, fn.address);
  },
);

forEachBackend(
  "VfioDevice.errors has what the error interrupt says",
  async (setup) => {
    const device = await setup.attach("nvme0");
    const next = device.errors.next();
    await device.errors.vector();
    device.irq("error").trigger();
    assertEquals(await next, 1);
    const ended = device.errors.counts().next();
    await device.errors.vector();
    await device.detach();
    assertEquals(await ended, { value: undefined, done: true });
    await refused("DETACHED", () => device.errors.next());
  },
);
