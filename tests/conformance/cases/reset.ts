/**
 * Registers that cannot be accessed, resets by one method, and hot resets of a
 * function that is alone behind its port.
 */
import { assert, assertEquals } from "@std/assert";
import { findCapability } from "../../../lib/device/regions/memory_decoding.ts";
import {
  PCI_EXP_DEVCTL,
  PCI_EXP_DEVCTL_BCR_FLR,
} from "../../../lib/uapi/pci/express_regs.ts";
import {
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_PM,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_PM_CTRL,
} from "../../../lib/uapi/pci/regs.ts";
import {
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_PCI_HOT_RESET,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_hot_reset_info,
} from "../../../lib/uapi/vfio/all.ts";
import { failure, refused } from "../../failures.ts";
import { EDU_ID } from "../../vm/guest/edu.ts";
import { answer, answerOf } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { forEachBackend, type Setup } from "../setup.ts";

/** The nvme's controller configuration, which a reset sets to 0. */
const CC = 0x14;
const SOME_CC = 0x46_0000;

/** A function behind a port of its own. */
const ALONE = "sriov0";

forEachBackend(
  "mapped registers throw INACCESSIBLE while memory decoding is off, and work again",
  async (setup) => {
    const edu = await setup.attach("edu0");
    const { config } = edu;
    const mapped = edu.region(0).map();
    assertEquals(mapped.read32(0), EDU_ID);
    const command = config.read16(PCI_COMMAND);
    const off = command & ~PCI_COMMAND_MEMORY;
    const writes: (readonly [off: () => void, on: () => void])[] = [
      [
        () => config.write16(PCI_COMMAND, off),
        () => config.write16(PCI_COMMAND, command),
      ],
      [
        () => config.write8(PCI_COMMAND, off & 0xff),
        () => config.write32(PCI_COMMAND, command),
      ],
      [
        () => config.write(PCI_COMMAND - 1, Uint8Array.of(0, off & 0xff, 0)),
        () => config.write64(0, BigInt(command) << 32n),
      ],
    ];
    for (const [switchOff, switchOn] of writes) {
      switchOff();
      const error = failure("INACCESSIBLE", () => mapped.read32(0));
      assert(error.message.includes("PCI_COMMAND_MEMORY"), error.message);
      failure("INACCESSIBLE", () => mapped.write32(4, 0));
      failure("INACCESSIBLE", () => edu.region(0).read32(0));
      // A mapping that is made meanwhile, too.
      using other = edu.region(0).map();
      failure("INACCESSIBLE", () => other.read32(0));
      switchOn();
      assertEquals([mapped.read32(0), other.read32(0)], [EDU_ID, EDU_ID]);
    }
  },
);

forEachBackend(
  "mapped registers notice that memory decoding was switched on through another descriptor",
  async (setup) => {
    const edu = await setup.attach("edu0");
    const mapped = edu.region(0).map();
    const command = edu.config.read16(PCI_COMMAND);
    edu.config.write16(PCI_COMMAND, command & ~PCI_COMMAND_MEMORY);
    failure("INACCESSIBLE", () => mapped.read32(0));
    const bytes = new Uint8Array(new Uint16Array([command]).buffer);
    setup.kernel.pwrite(edu.fd, bytes, (7n << 40n) + BigInt(PCI_COMMAND));
    assertEquals(mapped.read32(0), EDU_ID);
  },
);

forEachBackend(
  "mapped registers throw INACCESSIBLE in D3hot, and a reset wakes the function",
  async (setup) => {
    const card = await setup.attach("e1000e0");
    const { config } = card;
    const mapped = card.region(0).map();
    mapped.read32(0);
    const at = findCapability(config, PCI_CAP_ID_PM) + PCI_PM_CTRL;
    config.write16(at, 3);
    const error = failure("INACCESSIBLE", () => mapped.read32(0));
    assert(error.message.includes("D3hot"), error.message);
    failure("INACCESSIBLE", () => card.region(0).read32(0));
    config.write16(at, 0);
    mapped.read32(0);
    config.write8(at, 3);
    failure("INACCESSIBLE", () => mapped.read32(0));
    await card.reset();
    mapped.read32(0);
    assertEquals(config.read16(at) & 3, 0);
  },
);

forEachBackend(
  "mapped registers throw INACCESSIBLE during a reset, and are mapped after it",
  async (setup) => {
    const nvme = await setup.attach("nvme0");
    const mapped = nvme.region(0).map();
    mapped.write32(CC, SOME_CC);
    nvme.setBusMaster(true);
    const resetting = nvme.reset();
    const error = failure("INACCESSIBLE", () => mapped.read32(CC));
    assert(error.message.includes("is being reset"), error.message);
    using other = nvme.region(0).map();
    failure("INACCESSIBLE", () => other.write32(CC, 0));
    await resetting;
    assertEquals([mapped.read32(CC), other.read32(CC)], [0, 0]);
    const command = nvme.config.read16(PCI_COMMAND);
    assertEquals(command & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER);
    // Two at once are made one after the other.
    await Promise.all([nvme.reset(), nvme.reset()]);
  },
);

forEachBackend(
  "a function level reset that is written to config space resets the function",
  async (setup) => {
    const nvme = await setup.attach("nvme0");
    const mapped = nvme.region(0).map();
    mapped.write32(CC, SOME_CC);
    const express = findCapability(nvme.config, PCI_CAP_ID_EXP);
    const control = nvme.config.read16(express + PCI_EXP_DEVCTL);
    nvme.config.write16(
      express + PCI_EXP_DEVCTL,
      control | PCI_EXP_DEVCTL_BCR_FLR,
    );
    assertEquals(mapped.read32(CC), 0);
  },
);

forEachBackend(
  "VfioDevice.reset() uses only the method that is asked for, and sets the methods back",
  async (setup) => {
    const nvme = await setup.attach(ALONE);
    const fn = await setup.take(ALONE);
    const mapped = nvme.region(0).map();
    const methods = fn.resetMethods;
    assertEquals(methods, ["flr", "bus"]);
    for (const method of methods) {
      mapped.write32(CC, SOME_CC);
      const resetting = nvme.reset({ method });
      assertEquals(fn.resetMethods, [method]);
      await resetting;
      assertEquals(fn.resetMethods, methods);
      assertEquals(mapped.read32(CC), 0, method);
    }
    for (const method of ["pm", "", "default"]) {
      const error = await refused(
        "NOT_SUPPORTED",
        () => nvme.reset({ method }),
      );
      assert(error.hint!.includes("flr, bus"), error.hint);
    }
    const card = await setup.attach("e1000e0");
    await card.reset({ method: "pm" });
    await refused("NOT_SUPPORTED", () => card.reset({ method: "flr" }));
  },
);

forEachBackend(
  "VfioDevice.hotReset throws NOT_SUPPORTED on a root bus",
  async (setup) => {
    const edu = await setup.attach("edu0");
    failure("NOT_SUPPORTED", () => edu.hotReset.affected());
    await refused("NOT_SUPPORTED", () => edu.hotReset.reset());
  },
);

forEachBackend(
  "VfioDevice.hotReset resets a function that is alone behind its port",
  async (setup) => {
    const nvme = await setup.attach(ALONE);
    const mapped = nvme.region(0).map();
    const affected = nvme.hotReset.affected();
    assertEquals(
      affected.map(({ function: { address }, attached, obstacle }) =>
        [address, attached, obstacle] as const
      ),
      [[setup.address(ALONE), true, undefined]],
    );
    nvme.setBusMaster(true);
    mapped.write32(CC, SOME_CC);
    const resetting = nvme.hotReset.reset();
    failure("INACCESSIBLE", () => mapped.read32(CC));
    await resetting;
    assertEquals(mapped.read32(CC), 0);
    const on = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    assertEquals(nvme.config.read16(PCI_COMMAND) & on, on);
    // As often as it is asked for, also at once.
    await Promise.all([nvme.hotReset.reset(), nvme.hotReset.reset()]);
    assertEquals(nvme.config.read16(PCI_COMMAND) & on, on);
  },
);

/** VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, with room for so many functions. */
function info(device: DeviceFile, room: number) {
  const layout = vfio_pci_hot_reset_info;
  const each = vfio_pci_dependent_device;
  const argument = layout.alloc({}, room * each.size);
  const error = answer(() => {
    device.ioctl(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, argument);
    return undefined;
  });
  const { count, flags } = layout.decode(argument);
  const devices = error === undefined
    ? each.decodeArray(argument, count, layout.offset.devices)
    : [];
  return { error, count, flags, devices };
}

/** VFIO_DEVICE_PCI_HOT_RESET, with group descriptors. */
function reset(device: DeviceFile, fds: readonly number[], flags = 0) {
  const layout = vfio_pci_hot_reset;
  const count = fds.length;
  const argument = layout.alloc({ count, flags }, 4 * count);
  new Int32Array(argument.buffer, layout.size).set(fds);
  return answerOf(() =>
    device.kernel.ioctlAsync(device.fd, VFIO_DEVICE_PCI_HOT_RESET, argument)
  );
}

/** An open function by the backend under test, and what proves that it is ours. */
async function opened(setup: Setup, name: string) {
  if (setup.backend === "iommufd") {
    const { cdev } = await setup.readyIoas(name);
    return { device: cdev as DeviceFile, groups: [] };
  }
  const { group } = await setup.readyContainer(name);
  const device = setup.use(group.device(setup.address(name)));
  return { device, groups: [group.fd] };
}

forEachBackend(
  "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO returns the functions behind a port",
  async (setup) => {
    const { device } = await opened(setup, ALONE);
    const short = info(device, 0);
    assertEquals(
      [short.error, short.count, short.flags],
      ["ENOSPC", 1, 0],
    );
    const { error, count, flags, devices } = info(device, 4);
    assertEquals([error, count], [undefined, 1]);
    const [{ segment, bus, devfn, devid, group_id }] = devices as [
      typeof devices[number],
    ];
    assertEquals([segment, bus, devfn], [0, 1, 0]);
    if (setup.backend === "legacy") {
      assertEquals(flags, 0);
      const { iommuGroup } = await setup.take(ALONE);
      assertEquals(String(group_id), iommuGroup!.id);
    } else {
      const both = VFIO_PCI_HOT_RESET_FLAG_DEV_ID |
        VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;
      assertEquals(flags, both);
      assert(devid > 0);
    }
    const edu = await opened(setup, "edu0");
    assertEquals(info(edu.device, 4).error, "ENODEV");
  },
);

forEachBackend(
  "VFIO_DEVICE_PCI_HOT_RESET wants the proof of the way in which the device was opened",
  async (setup) => {
    const { device, groups } = await opened(setup, ALONE);
    const other = await opened(setup, "edu0");
    assertEquals(await reset(device, groups, 1), "EINVAL");
    if (setup.backend === "legacy") {
      assertEquals(await reset(device, []), "EINVAL");
      assertEquals(await reset(device, [...groups, ...groups]), "EINVAL");
      assertEquals(await reset(device, other.groups), "EINVAL");
      assertEquals(await reset(device, [device.fd]), "EINVAL");
      assertEquals(await reset(device, [9999]), "EBADF");
    } else {
      assertEquals(await reset(device, [device.fd]), "EINVAL");
    }
    assertEquals(await reset(other.device, other.groups), "ENODEV");
    assertEquals(await reset(device, groups), 0);
  },
);
