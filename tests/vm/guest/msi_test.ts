/** Several messages of MSI, sent by a USB controller's interrupters. */
import { assertEquals } from "@std/assert";
import { forEachBackend } from "./setup.ts";
import { Xhci } from "./xhci.ts";

forEachBackend(
  "Irq.enable() delivers each of a controller's sixteen messages by a vector of its own",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("xhci0", space);
    const irq = device.irq("msi");
    assertEquals([irq.count, irq.resizable], [16, false]);
    const vectors = await irq.enable(16);
    using controller = new Xhci(device, space);
    await controller.connect(() => vectors[0]!.next());

    const heard: number[] = [];
    for (const vector of vectors) vector.listen(() => heard.push(vector.index));
    for (const target of [1, 5, 15, 5]) {
      const next = vectors[target]!.next();
      controller.readDescriptor(target);
      assertEquals(await next, 1);
      assertEquals(controller.events(target).length, 1);
    }
    assertEquals(heard, [1, 5, 15, 5]);
    // A device descriptor of 18 bytes.
    assertEquals([...controller.descriptor.subarray(0, 2)], [18, 1]);
  },
  "xhci0",
);

forEachBackend(
  "Irq.enable() connects some of a controller's messages, and none more later",
  async (setup) => {
    const space = setup.space();
    const device = await setup.attach("xhci0", space);
    const irq = device.irq("msi");
    const [first] = await irq.enable(4);
    using controller = new Xhci(device, space);
    await controller.connect(() => first!.next());
    await irq.disable();

    const [third, fourth] = await irq.enable({ start: 2, count: 2 });
    controller.readDescriptor(2);
    assertEquals(await third!.next(), 1);
    irq.trigger(3);
    assertEquals(await fourth!.next(), 1);
    assertEquals(irq.vectors.map(({ index }) => index), [2, 3]);
  },
  "xhci0",
);
