/**
 * Page requests: a device asks, and goes on when it is answered.
 */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  FaultQueue,
  Hwpt,
  NestedHwpt,
  type PageRequest,
} from "../../../../backends/iommufd/mod.ts";
import { failure } from "../../../failures.ts";
import { refused } from "../../../failures.ts";
import { APERTURE, type Mock, tableData } from "./mock.ts";
import { onMock } from "./test.ts";

const READ = 1;
const WRITE = 2;

/** A device whose page table has a fault queue. */
function faulting(mock: Mock) {
  const ioas = mock.iommufd.allocateIoas();
  const device = mock.device(ioas);
  const faultQueue = FaultQueue.allocate(mock.iommufd);
  const table = Hwpt.allocate(device, ioas, { faultQueue });
  device.attach(table);
  return { ioas, device, faultQueue, table };
}

onMock(
  "FaultQueue gives page requests as they come, and answers them",
  async (mock) => {
    const { device, faultQueue } = faulting(mock);
    assertEquals(faultQueue.take(), undefined);
    const requests = faultQueue.requests();
    const waiting = requests.next();
    device.requestPage({
      group: 5,
      permissions: READ | WRITE,
      address: APERTURE,
    });
    const request: PageRequest = (await waiting).value!;
    const { deviceId, pasid, group, pages } = request;
    assertEquals([deviceId, pasid, group], [device.id, undefined, 5]);
    assertEquals(pages, [{
      address: APERTURE,
      length: 0,
      read: true,
      write: true,
      execute: false,
      privileged: false,
    }]);
    request.answer("success");
    assertEquals(request.answered, true);
    assertThrows(() => request.answer("success"), TypeError);
    // The same again: the device went on, so that it can ask again.
    for (let group = 0; group < 100; group++) {
      device.requestPage({ group, permissions: READ });
    }
    for (let group = 0; group < 100; group++) {
      const { value } = await requests.next();
      assertEquals(value!.group, group);
      value!.answer(group % 2 === 0 ? "success" : "invalid");
    }
    assertEquals(faultQueue.take(), undefined);
    assertThrows(() => request.answer("no" as "invalid"), TypeError);
  },
);

onMock(
  "FaultQueue.next() is given up, and ends with the queue",
  async (mock) => {
    const { device, ioas, faultQueue, table } = faulting(mock);
    await assertRejects(
      () => faultQueue.next({ signal: AbortSignal.abort(new Error("enough")) }),
      Error,
      "enough",
    );
    const controller = new AbortController();
    const aborted = faultQueue.next({ signal: controller.signal });
    controller.abort(new Error("given up"));
    await assertRejects(() => aborted, Error, "given up");
    const next = faultQueue.next();
    const last = faultQueue.requests().next();
    device.attach(ioas);
    table.destroy();
    faultQueue.destroy();
    await refused("DETACHED", () => next);
    assertEquals(await last, { done: true, value: undefined });
    failure("DETACHED", () => faultQueue.take());
  },
);

onMock(
  "FaultQueue.next() is waited for by several, of whom each gets a request",
  async (mock) => {
    const { device, faultQueue } = faulting(mock);
    const controller = new AbortController();
    const given = faultQueue.next({ signal: controller.signal });
    const waiting = [faultQueue.next(), faultQueue.next()];
    controller.abort(new Error("given up"));
    await assertRejects(() => given, Error, "given up");
    for (const group of [1, 2]) device.requestPage({ group });
    const requests = await Promise.all(waiting);
    assertEquals(requests.map(({ group }) => group), [1, 2]);
    for (const request of requests) request.answer("success");
  },
);

onMock(
  "a page request that nobody has answered is answered as its device moves",
  (mock) => {
    const { device, ioas, faultQueue } = faulting(mock);
    device.requestPage({ group: 1 });
    const request = faultQueue.take()!;
    device.requestPage({ group: 2 });
    device.attach(ioas);
    failure("DETACHED", () => request.answer("success"));
    assertEquals(faultQueue.take(), undefined);
  },
);

onMock(
  "a nested page table has a fault queue, also for several devices",
  (mock) => {
    const ioas = mock.iommufd.allocateIoas();
    const faultQueue = FaultQueue.allocate(mock.iommufd);
    const devices = [mock.device(ioas), mock.device(ioas)];
    const [first] = devices;
    const parent = Hwpt.allocate(first!, ioas, { nestParent: true });
    const table = NestedHwpt.allocate(first!, parent, tableData(1), {
      faultQueue,
    });
    for (const device of devices) {
      device.attach(table);
      device.requestPage({ permissions: WRITE, address: 0x1234_5000n });
    }
    const asked = devices.map(() => faultQueue.take()!);
    assertEquals(
      asked.map(({ deviceId }) => deviceId),
      devices.map(({ id }) => id),
    );
    for (const request of asked) request.answer("success");
    assertEquals(faultQueue.users, [table.name]);
  },
);
