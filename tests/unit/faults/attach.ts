/**
 * Every kernel call of an attach or a detach fails in turn.
 */
import { VfioDevice } from "../../../mod.ts";
import { A, B, C, failEachCall, textOf, VECTORS } from "./bench.ts";
import {
  attach,
  oneGroupEach,
  withMappings,
  withRegisters,
} from "./operations.ts";

failEachCall("VfioDevice.attach() leaves nothing behind", attach);

failEachCall("VfioDevice.attach() leaves nothing behind of a second device", {
  async prepare(world) {
    withMappings(world);
    await world.attach(B);
  },
  act: (world) => world.attach(A),
  // A group that the container refuses gets another container.
  otherwise: (call, fault) =>
    textOf(call) === "ioctl VFIO_GROUP_SET_CONTAINER" &&
    "code" in fault && fault.code === "EINVAL",
});

failEachCall(
  "VfioDevice.attach() leaves nothing behind of a second container",
  {
    backends: ["legacy"],
    system: oneGroupEach,
    async prepare(world) {
      withMappings(world);
      await world.attach(B);
    },
    act: (world) => world.attach(A),
  },
);

failEachCall("VfioDevice.attach() does not affect the rest of its group", {
  async prepare(world) {
    withMappings(world);
    await world.attach(C);
  },
  act: (world) => world.attach(B),
});

failEachCall("VfioDevice.detach() completes", {
  async prepare(world) {
    withMappings(world);
    return await withRegisters(world, A);
  },
  act: (_, { device }) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.detach() completes when another device is attached", {
  async prepare(world) {
    withMappings(world);
    await world.attach(B);
    return await withRegisters(world, A);
  },
  act: (_, { device }) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.detach() completes with an ioeventfd", {
  async prepare(world) {
    const device = await world.attach(A);
    device.bar(0).ioeventfd(0, 1);
    return device;
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.detach() completes when interrupts are enabled", {
  async prepare(world) {
    const device = await world.attach(VECTORS);
    for (const irq of [device.irq("msix"), device.irq("request")]) {
      const [vector] = await irq.enable();
      vector!.listen(() => {});
    }
    return device;
  },
  act: (_, device) => device.detach(),
  leaves: "done",
});

failEachCall("VfioDevice.attach() leaves nothing behind of a request", {
  prepare: () => {},
  act: ({ space }) =>
    VfioDevice.attach(VECTORS, space, { detachOnRequest: true }),
});
