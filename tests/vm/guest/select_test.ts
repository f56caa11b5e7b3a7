/**
 * Which backend a device gets and why, which devices are refused before a
 * backend is chosen, and what a trace prints.
 */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { AddressSpace, type BackendName, VfioDevice } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { refused } from "../../failures.ts";
import { holdings } from "./observe.ts";
import { Script } from "./script.ts";
import { addressOf, forEachBackend, host, machine, Setup } from "./setup.ts";

/** Makes a test for machines with iommufd, or for those without. */
function test(
  name: string,
  withIommufd: boolean,
  body: (setup: Setup) => Promise<void>,
): void {
  if (machine.iommu === "none") return;
  if (machine.backends.includes("iommufd") !== withIommufd) return;
  Deno.test(name, async () => {
    await using setup = new Setup("legacy");
    await body(setup);
  });
}

/** Moves a device node away, until it is disposed of. */
function hide(node: string): Disposable {
  Deno.renameSync(node, `${node}.hidden`);
  return { [Symbol.dispose]: () => Deno.renameSync(`${node}.hidden`, node) };
}

/** Replaces a node by one without a driver. */
async function disable(node: string): Promise<Disposable> {
  const stack = new DisposableStack();
  stack.use(hide(node));
  // include/uapi/linux/major.h has no such number.
  const { success } = await new Deno.Command("mknod", {
    args: [node, "c", "4095", "0"],
  }).output();
  if (!success) throw new Error(`Cannot make ${node}`);
  stack.defer(() => Deno.removeSync(node));
  return stack;
}

/** Attaches `edu0` by `"auto"`, uses it, and returns the chosen backend. */
async function chosen(setup: Setup) {
  await setup.take("edu0");
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach(addressOf("edu0"), space);
  assertEquals(device.config.read16(0), 0x1234);
  return space.backend;
}

test(
  "AddressSpace chooses iommufd when both nodes work",
  true,
  async (setup) => {
    const { cdev } = vfioNodes(await setup.take("edu0"));
    assertEquals(await chosen(setup), {
      backend: "iommufd",
      reason: `/dev/iommu and ${cdev} both work`,
    });
  },
);

test(
  "AddressSpace chooses legacy, and says why, when the kernel has no iommufd",
  false,
  async (setup) => {
    assertEquals(await chosen(setup), {
      backend: "legacy",
      reason: "/dev/iommu does not exist",
    });
  },
);

test(
  "AddressSpace chooses legacy, and says why, when a node does not exist",
  true,
  async (setup) => {
    const { cdev } = vfioNodes(await setup.take("edu0"));
    {
      using _hidden = hide("/dev/iommu");
      assertEquals(await chosen(setup), {
        backend: "legacy",
        reason: "/dev/iommu does not exist",
      });
    }
    using _hidden = hide(cdev!);
    assertEquals(await chosen(setup), {
      backend: "legacy",
      reason: `${cdev} cannot be opened (ENOENT)`,
    });
  },
);

test(
  "AddressSpace chooses legacy, and says why, when a node cannot be opened",
  true,
  async (setup) => {
    const { cdev } = vfioNodes(await setup.take("edu0"));
    for (const node of ["/dev/iommu", cdev!]) {
      using _disabled = await disable(node);
      assertEquals(await chosen(setup), {
        backend: "legacy",
        reason: `${node} cannot be opened (ENXIO)`,
      });
    }
  },
);

test(
  "AddressSpace keeps its backend when a second device is attached",
  true,
  async (setup) => {
    await setup.take("edu0");
    await setup.take("edu1");
    await using space = new AddressSpace({ host });
    {
      using _hidden = hide("/dev/iommu");
      await VfioDevice.attach(addressOf("edu0"), space);
    }
    await VfioDevice.attach(addressOf("edu1"), space);
    assertEquals(space.backend?.backend, "legacy");
  },
);

test(
  "VfioDevice.attach() throws BACKEND_UNAVAILABLE when iommufd is asked for and its nodes do not exist",
  true,
  async (setup) => {
    const { cdev } = vfioNodes(await setup.take("edu0"));
    for (const node of ["/dev/iommu", cdev!]) {
      using _hidden = hide(node);
      const error = await refused(
        "BACKEND_UNAVAILABLE",
        () =>
          VfioDevice.attach(
            addressOf("edu0"),
            setup.space({ backend: "iommufd" }),
          ),
      );
      assertStringIncludes(error.message, node);
    }
  },
);

test(
  "VfioDevice.attach() throws BACKEND_UNAVAILABLE when iommufd is asked for and the kernel has none",
  false,
  async (setup) => {
    await setup.take("edu0");
    const error = await refused(
      "BACKEND_UNAVAILABLE",
      () =>
        VfioDevice.attach(
          addressOf("edu0"),
          setup.space({ backend: "iommufd" }),
        ),
    );
    assertEquals(
      error.message,
      `vfio ${addressOf("edu0")}: iommufd was asked for, but /dev/iommu does ` +
        "not exist\nhint: take the legacy backend, or a kernel with " +
        "CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV",
    );
  },
);

async function modprobe(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("modprobe", { args })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

test(
  "VfioDevice.attach() names the module when the container has no IOMMU driver",
  false,
  async (setup) => {
    await setup.take("edu0");
    const before = holdings();
    await modprobe("-r", "vfio_iommu_type1");
    try {
      const error = await refused(
        "BACKEND_UNAVAILABLE",
        () => VfioDevice.attach(addressOf("edu0"), setup.space()),
      );
      assertStringIncludes(error.message, "modprobe vfio_iommu_type1");
      assertEquals(holdings(), before);
    } finally {
      await modprobe("vfio_iommu_type1");
    }
    await setup.attach("edu0");
  },
);

test(
  "Host.take() names the module when VFIO is not loaded",
  false,
  async () => {
    await modprobe("-r", "vfio_pci");
    try {
      const error = await refused(
        "DRIVER_FAILED",
        () => host.take(addressOf("edu0")),
      );
      assertEquals(
        error.message,
        `vfio ${addressOf("edu0")}: the driver vfio-pci is not loaded\n` +
          "hint: modprobe vfio-pci",
      );
    } finally {
      await modprobe("vfio_pci");
    }
  },
);

forEachBackend(
  "VfioDevice.attach() throws WRONG_DRIVER, and says what to do, when a host driver has the device or none",
  async (setup) => {
    for (
      const [name, state] of [
        ["nvme0", "it is bound to nvme, which is no VFIO driver"],
        ["edu0", "it is bound to no driver"],
      ] as const
    ) {
      const address = addressOf(name);
      const error = await refused(
        "WRONG_DRIVER",
        () => VfioDevice.attach(address, setup.space()),
      );
      assertEquals(
        error.message,
        `vfio ${address}: ${state}\n` +
          `hint: take it over first: host.take("${address}")`,
      );
    }
    assertEquals(host.function(addressOf("nvme0")).driver, "nvme");
  },
);

/** Lines of the trace of an attach and of a mapping. */
const TRACES: Record<BackendName, readonly RegExp[]> = {
  legacy: [
    /^open\("\/dev\/vfio\/vfio", 2\) = \d+$/m,
    /^ioctl\(\d+, VFIO_GROUP_SET_CONTAINER, \[\d+\]\) = 0$/m,
    /^ioctl\(\d+, VFIO_IOMMU_MAP_DMA, \{argsz=32, flags=3, vaddr=0x\w+, iova=0x100000, size=0x1000\}\) = 0 /m,
  ],
  iommufd: [
    /^open\("\/dev\/iommu", 2\) = \d+$/m,
    /^ioctlAsync\(\d+, VFIO_DEVICE_BIND_IOMMUFD, \{argsz=16, flags=0, iommufd=\d+, .*\}\) = 0 /m,
    /^ioctl\(\d+, IOMMU_IOAS_MAP, \{size=40, flags=7, ioas_id=\d+, .*, length=0x1000, iova=0x100000\}\) = 0 /m,
  ],
};

/** Lines of both backends: an answer of the kernel, and a refusal. */
const TRACE = [
  /^ioctl\(\d+, VFIO_DEVICE_GET_INFO, \{argsz=24, flags=0, .*\}\) = 0 \{argsz=24, flags=2, num_regions=9, num_irqs=5, .*\}$/m,
  /^closeAsync\(\d+\) = 0$/m,
  /^open\("\/dev\/vfio\/none", 2\) = -1 ENOENT$/m,
];

forEachBackend(
  "PASSTHRU_TRACE=1 prints each call with its structs",
  async (setup) => {
    await setup.take("edu0");
    await using script = await Script.start(
      { env: { PASSTHRU_TRACE: "1" } },
      async ({ AddressSpace, VfioDevice, send }, address, backend) => {
        await using space = new AddressSpace({ backend });
        await using device = await VfioDevice.attach(address, space);
        space.allocate(4096, { iova: 0x10_0000n });
        try {
          space.host.kernel.open("/dev/vfio/none", 2);
        } catch {
          send(device.config.read16(0));
        }
      },
      addressOf("edu0"),
      setup.backend,
    );
    assertEquals(await script.next(), 0x1234);
    const { code, stderr } = await script.end();
    assertEquals(code, 0, stderr);
    for (const call of [...TRACES[setup.backend], ...TRACE]) {
      assertMatch(stderr, call);
    }
  },
);
