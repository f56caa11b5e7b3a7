/**
 * Interrupts through eventfds (`drivers/vfio/pci/vfio_pci_intrs.c`).
 */
import { assertEquals } from "@std/assert";
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
} from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../../lib/uapi/vfio/all.ts";
import { answer } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { EduRegisters } from "../edu_registers.ts";
import { forEachBackend, type Setup } from "../setup.ts";

const INTX = VFIO_PCI_INTX_IRQ_INDEX;
const MSI = VFIO_PCI_MSI_IRQ_INDEX;
const MSIX = VFIO_PCI_MSIX_IRQ_INDEX;
const ERR = VFIO_PCI_ERR_IRQ_INDEX;
const REQ = VFIO_PCI_REQ_IRQ_INDEX;

const NONE = VFIO_IRQ_SET_DATA_NONE;
const BOOL = VFIO_IRQ_SET_DATA_BOOL;
const EVENTFD = VFIO_IRQ_SET_DATA_EVENTFD;
const TRIGGER = VFIO_IRQ_SET_ACTION_TRIGGER;
const MASK = VFIO_IRQ_SET_ACTION_MASK;
const UNMASK = VFIO_IRQ_SET_ACTION_UNMASK;

/** A function with helpers to set and raise its interrupts. */
async function interrupts(setup: Setup, name = "edu0") {
  const device = await setup.device(name);
  const set = (
    index: number,
    flags: number,
    data: Uint8Array | Int32Array = new Uint8Array(),
    values: Parameters<DeviceFile["setIrqs"]>[0] = {},
  ) =>
    answer(() => {
      const count = data.length;
      device.setIrqs({ index, flags, count, ...values }, data);
    });
  const connect = (index: number, ...fds: number[]) =>
    set(index, EVENTFD | TRIGGER, new Int32Array(fds));
  const disable = (index: number) => set(index, NONE | TRIGGER);
  const trigger = (index: number) =>
    set(index, NONE | TRIGGER, undefined, { count: 1 });
  const one = { count: 1 };
  const mask = () => set(INTX, NONE | MASK, undefined, one);
  const unmask = () => set(INTX, NONE | UNMASK, undefined, one);
  return { device, set, connect, disable, trigger, mask, unmask };
}

function raise(edu: DeviceFile, reasons = 1): void {
  new EduRegisters(edu).raise(reasons);
}

function acknowledge(edu: DeviceFile, reasons = 1): void {
  new EduRegisters(edu).acknowledge(reasons);
}

function setCommand(device: DeviceFile, value: number): void {
  const bytes = new Uint8Array(new Uint16Array([value]).buffer);
  device.write(VFIO_PCI_CONFIG_REGION_INDEX, PCI_COMMAND, bytes);
}

forEachBackend(
  "VFIO_DEVICE_SET_IRQS fails when the interrupt does not exist, or the data is too short",
  async (setup) => {
    const { set } = await interrupts(setup);
    const fds = new Int32Array([setup.eventfd().fd]);
    const flags = EVENTFD | TRIGGER;
    for (
      const [index, values, expected] of [
        [VFIO_PCI_NUM_IRQS, {}, "EINVAL"],
        [99, {}, "EINVAL"],
        [MSI, { argsz: 19 }, "EINVAL"],
        [MSI, { argsz: 20 }, "EINVAL"],
        [MSI, { argsz: 23 }, "EINVAL"],
        [MSI, { count: 2 }, "EINVAL"],
        [MSI, { start: 1 }, "EINVAL"],
        [MSI, { start: 0xffff_ffff }, "EINVAL"],
        [MSI, { count: 0xffff_ffff }, "EINVAL"],
        [MSI, { start: 1, count: 0 }, "EINVAL"],
        [MSI, { flags: flags | 1 << 6 }, "EINVAL"],
        [MSI, { flags: TRIGGER }, "EINVAL"],
        [MSI, { flags: flags | BOOL }, "EINVAL"],
        [MSI, { flags: EVENTFD }, "ENOTTY"],
        [MSI, { flags: flags | MASK }, "ENOTTY"],
        // edu has no MSI-X.
        [MSIX, {}, "EINVAL"],
        [MSIX, { count: 0, flags: NONE | TRIGGER }, "EINVAL"],
      ] as const
    ) {
      const answered = set(index, flags, fds, values);
      assertEquals(answered, expected, Deno.inspect([index, values]));
    }
    assertEquals(set(MSI, flags, fds), undefined);
  },
);

forEachBackend(
  "MSI signals an eventfd each time it fires when that is connected",
  async (setup) => {
    const { device, connect, disable } = await interrupts(setup);
    const eventfd = setup.eventfd();
    setCommand(device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    assertEquals(connect(MSI, eventfd.fd), undefined);
    raise(device);
    assertEquals(await eventfd.wait(), 1);
    // It needs no unmasking, and no acknowledgement.
    raise(device, 2);
    assertEquals(await eventfd.wait(), 1);
    acknowledge(device, 3);
    raise(device);
    assertEquals(await eventfd.wait(), 1);
    assertEquals(connect(MSI, -1), undefined);
    acknowledge(device);
    raise(device);
    assertEquals(connect(MSI, eventfd.fd), undefined);
    assertEquals(eventfd.count(), 0);
    assertEquals(disable(MSI), undefined);
    acknowledge(device);
    raise(device);
    assertEquals(eventfd.count(), 0);
  },
);

forEachBackend(
  "MSI fires only when the function is a bus master",
  async (setup) => {
    const { device, connect } = await interrupts(setup);
    const eventfd = setup.eventfd();
    assertEquals(connect(MSI, eventfd.fd), undefined);
    raise(device);
    acknowledge(device);
    setCommand(device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    raise(device);
    assertEquals(await eventfd.wait(), 1);
  },
);

forEachBackend(
  "a vector's eventfd is replaced when another is connected",
  async (setup) => {
    const { device, connect, set } = await interrupts(setup);
    setCommand(device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    const [first, second] = [setup.eventfd(), setup.eventfd()];
    connect(MSI, first.fd);
    assertEquals(connect(MSI, second.fd), undefined);
    raise(device);
    assertEquals([await second.wait(), first.count()], [1, 0]);
    // An invalid descriptor is refused, and disconnects the eventfd.
    assertEquals(connect(MSI, 999), "EBADF");
    acknowledge(device);
    raise(device);
    assertEquals(connect(MSI, device.fd), "EINVAL");
    assertEquals(second.count(), 0);
    assertEquals(set(MSI, NONE | TRIGGER, undefined, { count: 1 }), undefined);
    assertEquals(second.count(), 0);
  },
);

forEachBackend(
  "VFIO_DEVICE_SET_IRQS signals a connected eventfd when it is told to trigger it",
  async (setup) => {
    const { connect, set, trigger } = await interrupts(setup);
    for (const index of [INTX, MSI]) {
      const eventfd = setup.eventfd();
      assertEquals(trigger(index), "EINVAL");
      assertEquals(set(index, BOOL | TRIGGER, new Uint8Array([1])), "EINVAL");
      assertEquals(connect(index, eventfd.fd), undefined);
      assertEquals(trigger(index), undefined);
      assertEquals(eventfd.count(), 1);
      const bool = (value: number) =>
        set(index, BOOL | TRIGGER, new Uint8Array([value]));
      assertEquals([bool(1), bool(0), bool(1)], Array(3).fill(undefined));
      assertEquals(eventfd.count(), 2);
      assertEquals(connect(index, -1), undefined);
      assertEquals(trigger(index), undefined);
      assertEquals(eventfd.count(), 0);
      assertEquals(set(index, NONE | TRIGGER), undefined);
    }
  },
);

forEachBackend(
  "only one kind of interrupt can be connected until it is disabled",
  async (setup) => {
    const { connect, disable } = await interrupts(setup);
    const { fd } = setup.eventfd();
    assertEquals(disable(INTX), "EINVAL");
    assertEquals(disable(MSI), "EINVAL");
    for (const [one, other] of [[INTX, MSI], [MSI, INTX]] as const) {
      assertEquals(connect(one, fd), undefined);
      assertEquals(connect(other, fd), "EINVAL");
      assertEquals(disable(other), "EINVAL");
      // Without a connected vector it is still in use.
      assertEquals(connect(one, -1), undefined);
      assertEquals(connect(other, fd), "EINVAL");
      assertEquals(disable(one), undefined);
      assertEquals(disable(one), "EINVAL");
      assertEquals(connect(other, -1), undefined);
      assertEquals(disable(other), undefined);
    }
  },
);

forEachBackend(
  "INTx is masked as it fires, and fires again when it is unmasked without being served",
  async (setup) => {
    const { device, connect, unmask } = await interrupts(setup);
    const eventfd = setup.eventfd();
    assertEquals(connect(INTX, eventfd.fd), undefined);
    raise(device);
    assertEquals(await eventfd.wait(), 1);
    raise(device, 2);
    assertEquals(eventfd.count(), 0);
    assertEquals(unmask(), undefined);
    assertEquals(await eventfd.wait(), 1);
    acknowledge(device, 3);
    assertEquals(unmask(), undefined);
    assertEquals(eventfd.count(), 0);
    raise(device);
    assertEquals(await eventfd.wait(), 1);
    acknowledge(device);
  },
);

forEachBackend(
  "INTx fires when it is unmasked",
  async (setup) => {
    const { device, connect, mask, set, unmask } = await interrupts(setup);
    assertEquals(mask(), "EINVAL");
    assertEquals(unmask(), "EINVAL");
    const eventfd = setup.eventfd();
    connect(INTX, eventfd.fd);
    assertEquals(mask(), undefined);
    assertEquals(mask(), undefined);
    raise(device);
    assertEquals(eventfd.count(), 0);
    assertEquals(set(INTX, BOOL | UNMASK, new Uint8Array([0])), undefined);
    assertEquals(eventfd.count(), 0);
    assertEquals(set(INTX, BOOL | UNMASK, new Uint8Array([1])), undefined);
    assertEquals(await eventfd.wait(), 1);
    acknowledge(device);
    assertEquals(set(INTX, NONE | MASK), "EINVAL");
    const fds = new Int32Array([eventfd.fd]);
    assertEquals(set(INTX, EVENTFD | MASK, fds), "ENOTTY");
  },
);

forEachBackend(
  "INTx does not fire when the command register disables it",
  async (setup) => {
    const { device, connect } = await interrupts(setup);
    const eventfd = setup.eventfd();
    setCommand(device, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
    connect(INTX, eventfd.fd);
    raise(device);
    assertEquals(eventfd.count(), 0);
    setCommand(device, PCI_COMMAND_MEMORY);
    assertEquals(await eventfd.wait(), 1);
    acknowledge(device);
  },
);

forEachBackend(
  "INTx is unmasked when an eventfd is signalled",
  async (setup) => {
    const { device, connect, set } = await interrupts(setup);
    const eventfd = setup.eventfd();
    const unmask = setup.eventfd();
    const fds = new Int32Array([unmask.fd]);
    assertEquals(set(INTX, EVENTFD | UNMASK, fds), "EINVAL");
    connect(INTX, eventfd.fd);
    assertEquals(set(INTX, EVENTFD | UNMASK, fds), undefined);
    assertEquals(set(INTX, EVENTFD | UNMASK, fds), "EBUSY");
    raise(device);
    assertEquals(await eventfd.wait(), 1);
    const once = new Uint8Array(new BigUint64Array([1n]).buffer);
    setup.kernel.write(unmask.fd, once);
    assertEquals(await eventfd.wait(), 1);
    acknowledge(device);
    setup.kernel.write(unmask.fd, once);
    const none = new Int32Array([-1]);
    assertEquals(set(INTX, EVENTFD | UNMASK, none), undefined);
    assertEquals(set(INTX, EVENTFD | UNMASK, none), undefined);
    assertEquals(set(INTX, EVENTFD | UNMASK, fds), undefined);
  },
);

forEachBackend(
  "the request interrupt is separate, and fires when the driver is asked to release the device",
  async (setup) => {
    const { connect, disable, set, trigger } = await interrupts(setup);
    const [eventfd, other] = [setup.eventfd(), setup.eventfd()];
    assertEquals(trigger(REQ), "EINVAL");
    assertEquals(disable(REQ), "EINVAL");
    assertEquals(connect(MSI, other.fd), undefined);
    assertEquals(connect(REQ, eventfd.fd), undefined);
    assertEquals(connect(REQ, 999), "EBADF");
    assertEquals(trigger(REQ), undefined);
    assertEquals([eventfd.count(), other.count()], [1, 0]);
    const bool = new Uint8Array([1]);
    assertEquals(set(REQ, BOOL | TRIGGER, bool), undefined);
    assertEquals(eventfd.count(), 1);
    assertEquals(set(REQ, NONE | MASK, undefined, { count: 1 }), "ENOTTY");
    assertEquals(disable(REQ), undefined);
    assertEquals(disable(REQ), "EINVAL");
    assertEquals(set(REQ, BOOL | TRIGGER, bool), undefined);
    assertEquals(set(REQ, EVENTFD | TRIGGER), "EINVAL");
    assertEquals(connect(REQ, -1), undefined);
  },
);

forEachBackend(
  "the error interrupt can be connected when there is one",
  async (setup) => {
    const edu = await interrupts(setup);
    const eventfd = setup.eventfd();
    const { errorOfConventional } = setup.expected;
    assertEquals(edu.connect(ERR, eventfd.fd), errorOfConventional);
    const nvme = await interrupts(setup, "nvme0");
    assertEquals(nvme.connect(ERR, eventfd.fd), undefined);
    assertEquals(nvme.trigger(ERR), undefined);
    assertEquals(eventfd.count(), 1);
  },
);

forEachBackend(
  "MSI-X connects vectors one by one, in any order",
  async (setup) => {
    const { device, connect, disable, set } = await interrupts(setup, "nvme0");
    const { count } = device.irq({ index: MSIX });
    const eventfds = [setup.eventfd(), setup.eventfd(), setup.eventfd()];
    const fds = new Int32Array(eventfds.map(({ fd }) => fd));
    assertEquals(connect(MSIX, ...fds.subarray(0, 1)), undefined);
    const at = (start: number, ...fds: number[]) =>
      set(MSIX, EVENTFD | TRIGGER, new Int32Array(fds), { start });
    assertEquals(at(1, fds[1]!), setup.expected.moreVectors);
    assertEquals(disable(MSIX), undefined);
    assertEquals(at(count - 1, fds[2]!), undefined);
    assertEquals(at(count, fds[2]!), "EINVAL");
    assertEquals(at(count - 1, fds[1]!, fds[2]!), "EINVAL");
    assertEquals(at(0, fds[0]!, -1, fds[2]!), undefined);
    const all = set(MSIX, NONE | TRIGGER, undefined, { count });
    assertEquals(all, undefined);
    assertEquals(eventfds.map((each) => each.count()), [1, 0, 2]);
    // When one of them is refused, none is connected.
    assertEquals(at(0, fds[0]!, 999), "EBADF");
    set(MSIX, NONE | TRIGGER, undefined, { count });
    assertEquals(eventfds.map((each) => each.count()), [0, 0, 2]);
  },
);

forEachBackend(
  "closing a device disconnects its interrupts",
  async (setup) => {
    const eventfd = setup.eventfd();
    {
      const { connect } = await interrupts(setup);
      connect(MSI, eventfd.fd);
      connect(REQ, eventfd.fd);
    }
    setup.closeAll();
    const { connect, device, trigger } = await interrupts(setup);
    assertEquals([trigger(MSI), trigger(REQ)], ["EINVAL", "EINVAL"]);
    assertEquals(connect(INTX, setup.eventfd().fd), undefined);
    device.close();
  },
);
