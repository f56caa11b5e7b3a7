/** Messages that a function itself sends: a controller's completions. */
import { assertEquals } from "@std/assert";
import { NvmeController } from "../../../examples/nvme/controller.ts";
import { forEachBackend } from "./setup.ts";

forEachBackend(
  "A controller's completions raise a vector of MSI-X",
  async (setup) => {
    const device = await setup.attach("nvme0", setup.space());
    const irq = device.irq("msix");
    const [completions] = await irq.enable(1);
    await using controller = await NvmeController.start(device);
    const raised = completions!.next();
    await controller.identify();
    assertEquals(await raised, 1);

    // They add up while nobody waits.
    for (let times = 0; times < 3; times++) await controller.identify();
    assertEquals(await completions!.next(), 3);

    await irq.disable();
    await controller.identify();
  },
);
