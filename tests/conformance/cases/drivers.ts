/**
 * Binding and unbinding drivers in sysfs (`drivers/base/bus.c`,
 * `drivers/base/dd.c`, `drivers/pci/pci-driver.c`).
 */
import { assert, assertEquals } from "@std/assert";
import { exists } from "../../../lib/host/sysfs.ts";
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_REQ_IRQ_INDEX,
} from "../../../lib/uapi/vfio/all.ts";
import { answer, answerOf } from "../answer.ts";
import { forEachBackend, type Setup, withContainer } from "../setup.ts";

const BUS = "/sys/bus/pci";

/** The driver attributes of a function in sysfs. */
function driversOf(setup: Setup, name: string) {
  const { kernel } = setup;
  const address = setup.address(name);
  const device = `${BUS}/devices/${address}`;
  const write = (path: string, text: string) =>
    answerOf(() => kernel.writeFileAsync(path, text));
  return {
    address,
    driver: () =>
      answer(() => kernel.readlink(`${device}/driver`).split("/").at(-1)!),
    override: () => kernel.readFile(`${device}/driver_override`),
    setOverride: (text: string) => write(`${device}/driver_override`, text),
    bind: (driver: string, text = address) =>
      write(`${BUS}/drivers/${driver}/bind`, text),
    unbind: (driver: string, text = address) =>
      write(`${BUS}/drivers/${driver}/unbind`, text),
    probe: (text = address) => write(`${BUS}/drivers_probe`, text),
    has: (path: string) => exists(kernel, `${device}/${path}`),
  };
}

// These tests do not depend on the backend.
withContainer(
  "driver_override keeps a line that is written to it",
  async (setup) => {
    const { override, setOverride } = driversOf(setup, "edu0");
    assertEquals(override(), "(null)\n");
    for (
      const [text, expected, after] of [
        ["vfio-pci", undefined, "vfio-pci\n"],
        ["", undefined, "vfio-pci\n"],
        ["vfio-pci\nmore\n", undefined, "vfio-pci\n"],
        ["any name", undefined, "any name\n"],
        ["x".repeat(4094), undefined, `${"x".repeat(4094)}\n`],
        ["x".repeat(4095), "EINVAL", `${"x".repeat(4094)}\n`],
        ["x".repeat(5000), "EINVAL", `${"x".repeat(4094)}\n`],
        ["\n", undefined, "(null)\n"],
        ["vfio-pci", undefined, "vfio-pci\n"],
        ["\nmore", undefined, "(null)\n"],
      ] as const
    ) {
      assertEquals(await setOverride(text), expected, text.slice(0, 20));
      assertEquals(override(), after, text.slice(0, 20));
    }
  },
);

withContainer(
  "bind takes a device when it matches and has no driver",
  async (setup) => {
    const edu = driversOf(setup, "edu0");
    assertEquals(edu.driver(), "ENOENT");
    assertEquals(await edu.bind("vfio-pci"), "ENODEV");
    assertEquals(await edu.bind("vfio-pci", "nothing"), "ENODEV");
    assertEquals(await edu.bind("vfio-pci", ""), undefined);
    await edu.setOverride("vfio-pci");
    assertEquals(await edu.bind("nvme"), "ENODEV");
    assertEquals(await edu.bind("nothing"), "ENOENT");
    assertEquals(edu.driver(), "ENOENT");
    assertEquals(await edu.bind("vfio-pci", `${edu.address}\n`), undefined);
    assertEquals(edu.driver(), "vfio-pci");
    assertEquals(await edu.bind("vfio-pci"), "EBUSY");
    // The device's override names another driver, and is checked first.
    assertEquals(await edu.bind("nvme"), "ENODEV");
    await edu.setOverride("\n");
    assertEquals(edu.driver(), "vfio-pci");
    assertEquals(await edu.unbind("vfio-pci"), undefined);
    assertEquals(edu.driver(), "ENOENT");
  },
);

withContainer(
  "unbind unbinds a device when the driver has it",
  async (setup) => {
    const nvme = driversOf(setup, "nvme0");
    assertEquals(nvme.driver(), "nvme");
    assertEquals(await nvme.unbind("vfio-pci"), "ENODEV");
    assertEquals(await nvme.unbind("nvme", "nothing"), "ENODEV");
    assertEquals(await nvme.unbind("nvme", ""), undefined);
    assertEquals(nvme.driver(), "nvme");
    assertEquals(await nvme.unbind("nvme"), undefined);
    assertEquals(nvme.driver(), "ENOENT");
    assertEquals(await nvme.unbind("nvme"), "ENODEV");
    assertEquals(await nvme.bind("nvme"), undefined);
    assertEquals(nvme.driver(), "nvme");
  },
);

withContainer(
  "drivers_probe succeeds also when no driver takes the device",
  async (setup) => {
    const edu = driversOf(setup, "edu0");
    assertEquals(await edu.probe(), undefined);
    assertEquals(edu.driver(), "ENOENT");
    assertEquals(await edu.probe("nothing"), "ENODEV");
    await edu.setOverride("nothing");
    assertEquals(await edu.probe(), undefined);
    assertEquals(edu.driver(), "ENOENT");
    await edu.setOverride("vfio-pci");
    assertEquals(await edu.probe(), undefined);
    assertEquals(edu.driver(), "vfio-pci");
    assertEquals(await edu.probe(), undefined);
    assert(edu.has("vfio-dev"));
    await edu.setOverride("\n");
    await edu.unbind("vfio-pci");
    const nvme = driversOf(setup, "nvme0");
    await nvme.unbind("nvme");
    assertEquals(await nvme.probe(), undefined);
    assertEquals(nvme.driver(), "nvme");
  },
);

forEachBackend(
  "bind refuses a host driver when user space has the group",
  async (setup) => {
    const nvme = driversOf(setup, "mixed0");
    await nvme.unbind("nvme");
    const device = await setup.device("mixed1");
    assertEquals(await nvme.bind("nvme"), "EBUSY");
    assertEquals(await nvme.probe(), "EINVAL");
    assertEquals(nvme.driver(), "ENOENT");
    assertEquals(device.read(0, 0, 4).length, 4);
    setup.closeAll();
    assertEquals(await nvme.bind("nvme"), undefined);
    assertEquals(nvme.driver(), "nvme");
  },
);

forEachBackend(
  "unbind waits until the device is closed, and requests that",
  async (setup) => {
    const device = await setup.device("edu0");
    const edu = driversOf(setup, "edu0");
    const eventfd = setup.eventfd();
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const index = VFIO_PCI_REQ_IRQ_INDEX;
    device.setIrqs({ index, flags, count: 1 }, new Int32Array([eventfd.fd]));
    let done = false;
    const unbind = edu.unbind("vfio-pci").finally(() => done = true);
    assertEquals(await eventfd.wait(), 1);
    assertEquals(done, false);
    // The driver link is removed first.
    assertEquals(edu.driver(), "ENOENT");
    assertEquals(await edu.bind("vfio-pci", "nothing"), "ENODEV");
    assertEquals(device.read(0, 0, 4).length, 4);
    device.close();
    assertEquals(await unbind, undefined);
    assertEquals(edu.driver(), "ENOENT");
    setup.closeAll();
    assertEquals(await edu.bind("vfio-pci"), undefined);
  },
);
