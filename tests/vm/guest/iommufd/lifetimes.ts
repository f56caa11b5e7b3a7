/**
 * Who keeps whom: what is destroyed out of order says so, before the kernel is
 * asked, and closing the iommufd destroys all.
 */
import { assert, assertEquals } from "@std/assert";
import {
  EventQueue,
  FaultQueue,
  Hwpt,
  HwQueue,
  type IommufdObject,
  NestedHwpt,
  Vdevice,
  Viommu,
} from "../../../../backends/iommufd/mod.ts";
import { hasErrno } from "../../../../lib/kernel/errno.ts";
import {
  IOMMU_DESTROY,
  iommu_destroy,
} from "../../../../lib/uapi/iommufd/all.ts";
import { failure } from "../../../failures.ts";
import { APERTURE, DATA, type Mock, PAGE, tableData } from "./mock.ts";
import { onMock } from "./test.ts";

/** One of each object, of which each keeps another. */
function everything(mock: Mock) {
  const { iommufd } = mock;
  const ioas = iommufd.allocateIoas();
  const device = mock.device(ioas, { pasids: true });
  const { address } = mock.memory(2 * PAGE);
  ioas.unsafeMap({ address, size: 2 * PAGE }, { iova: APERTURE });
  const faultQueue = FaultQueue.allocate(iommufd);
  const parent = Hwpt.allocate(device, ioas, { nestParent: true, pasid: true });
  const viommu = Viommu.allocate(device, parent, { type: DATA.other });
  const table = NestedHwpt.allocate(device, viommu, tableData(3), {
    faultQueue,
    pasid: true,
  });
  const vdevice = Vdevice.allocate(viommu, device, 0x99n);
  device.attach(table);
  const forPasids = Hwpt.allocate(device, ioas, { pasid: true });
  device.attachPasid(3, forPasids);
  const events = EventQueue.allocate(viommu, {
    type: DATA.event,
    eventSize: 4,
    depth: 1,
  });
  const queues = [0, 1].map((index) =>
    HwQueue.allocate(viommu, {
      type: DATA.other,
      index,
      iova: APERTURE + BigInt(index * PAGE),
      size: PAGE,
    })
  );
  return {
    device,
    objects: {
      ioas,
      parent,
      viommu,
      table,
      faultQueue,
      forPasids,
      queue: queues[0]!,
    },
    free: { vdevice, events, last: queues[1]! },
  };
}

/** Whether the kernel, too, would refuse to destroy an object. */
function isKept({ id, iommufd }: IommufdObject): boolean {
  try {
    iommufd.fd.ioctl(IOMMU_DESTROY, iommu_destroy.alloc({ id }));
    return false;
  } catch (error) {
    return hasErrno(error, "EBUSY");
  }
}

onMock(
  "an object that another needs says which, as the kernel does without saying",
  (mock) => {
    const { device, objects, free } = everything(mock);
    const { ioas, parent, viommu, table, faultQueue, forPasids, queue } =
      objects;
    const keepers: [IommufdObject, readonly { readonly name: string }[]][] = [
      [ioas, [parent, forPasids]],
      [parent, [viommu]],
      [viommu, [table, free.vdevice, free.events, queue, free.last]],
      [table, [device]],
      [faultQueue, [table]],
      [forPasids, [device]],
      [queue, [free.last]],
    ];
    for (const [object, users] of keepers) {
      const error = failure("IN_USE", () => object.destroy());
      assertEquals(object.users, users.map(({ name }) => name), object.name);
      for (const { name } of users) {
        assert(error.message.includes(name), error.message);
      }
      assert(isKept(object), `the kernel destroys ${object.name}`);
    }
  },
);

onMock(
  "objects go one after the other, what keeps others first",
  (mock) => {
    const { device, objects, free } = everything(mock);
    device.detachPasid(3);
    device.attach(objects.ioas);
    const order = [
      free.events,
      free.last,
      objects.queue,
      objects.table,
      free.vdevice,
      objects.viommu,
      objects.parent,
      objects.faultQueue,
      objects.forPasids,
    ];
    for (const object of order) {
      object.destroy();
      assertEquals(object.destroyed, true);
      object.destroy();
      failure("DETACHED", () => object.id);
    }
    assertEquals(objects.ioas.users, [device.name]);
    device.unplug();
    objects.ioas.destroy();
  },
);

onMock(
  "a number that the kernel gives again is that of the new object",
  (mock) => {
    const first = mock.iommufd.allocateIoas();
    const { id } = first;
    first.destroy();
    const second = mock.iommufd.allocateIoas();
    assertEquals(second.id, id);
    first.destroy();
    assertEquals(second.limits().alignment, 1n);
  },
);

onMock(
  "closing the iommufd destroys all, also what others keep",
  (mock) => {
    const { device, objects } = everything(mock);
    mock.iommufd.close();
    assertEquals(mock.iommufd.closed, true);
    for (const object of Object.values(objects)) {
      failure("DETACHED", () => object.id);
      object.destroy();
    }
    failure("DETACHED", () => device.hardwareInfo());
    failure("DETACHED", () => mock.iommufd.allocateIoas());
  },
);

onMock(
  "a device that goes first takes its virtual device with it",
  (mock) => {
    const { device, objects, free } = everything(mock);
    device.unplug();
    assertEquals(free.vdevice.destroyed, true);
    assertEquals(objects.table.users, []);
    assertEquals(objects.forPasids.users, []);
    objects.table.destroy();
    objects.faultQueue.destroy();
  },
);
