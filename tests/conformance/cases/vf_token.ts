/**
 * The secret of virtual functions whose physical function a VFIO driver has
 * (`vfio_pci_core_match_token_uuid()` in `drivers/vfio/pci/vfio_pci_core.c`).
 */
import { assertEquals } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { VFIO_TYPE1v2_IOMMU } from "../../../lib/uapi/vfio/all.ts";
import { refused } from "../../failures.ts";
import { answer } from "../answer.ts";
import { Group } from "../nodes.ts";
import { FIRST, Physical } from "../physical_function.ts";
import { forEachBackend, type Setup, withContainer } from "../setup.ts";

const TOKEN = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const OTHER = "99887766-5544-3322-1100-ffeeddccbbaa";

const ENABLE = "/sys/module/vfio_pci/parameters/enable_sriov";

/**
 * A physical function on vfio-pci, which makes virtual functions where that is
 * switched on. Disposing of it switches it off.
 */
async function onVfio(setup: Setup): Promise<AsyncDisposable & Physical> {
  const physical = new Physical(setup);
  setup.kernel.writeFile(ENABLE, "Y");
  await physical.write("drivers/nvme/unbind", physical.address);
  await physical.write("driver_override", "vfio-pci");
  await physical.write("drivers/vfio-pci/bind", physical.address);
  return Object.assign(physical, {
    async [Symbol.asyncDispose]() {
      await Physical.prototype[Symbol.asyncDispose].call(physical);
      setup.kernel.writeFile(ENABLE, "N");
    },
  });
}

forEachBackend(
  "a virtual function is attached with the token that its physical function's user has set",
  async (setup) => {
    await using physical = await onVfio(setup);
    const { host, backend } = setup;
    await using space = new AddressSpace({ host, backend });
    const attach = (address: string, vfToken?: string) =>
      VfioDevice.attach(address, space, vfToken ? { vfToken } : {});
    const denied = async (address: string, vfToken?: string) => {
      const error = await refused(
        "PERMISSION_DENIED",
        () => attach(address, vfToken),
      );
      assertEquals(error.device, address);
    };
    const pf = await attach(physical.address);
    assertEquals(await physical.write("sriov_numvfs", "2"), undefined);
    assertEquals(physical.driverOf(FIRST), "vfio-pci");
    // Until somebody sets it, nobody knows it.
    await denied(FIRST);
    await denied(FIRST, TOKEN);
    (await pf.features()).setVfToken(TOKEN);
    await denied(FIRST);
    await denied(FIRST, OTHER);
    const vf = await attach(FIRST, TOKEN);
    assertEquals(vf.config.read16(0), pf.config.read16(0));

    // Who takes the physical function over knows it, too, while it is used.
    await pf.detach();
    await denied(physical.address);
    await denied(physical.address, OTHER);
    const next = await attach(physical.address, TOKEN);
    await vf.detach();
    // A further one counts for later attaches only.
    const again = await attach(FIRST, TOKEN);
    (await next.features()).setVfToken(OTHER);
    assertEquals(again.attached, true);
    await again.detach();
    await denied(FIRST, TOKEN);
    await next.detach();
    // Without users a token of the physical function's user sets it.
    await attach(physical.address, TOKEN);
    await (await attach(FIRST, TOKEN.toUpperCase())).detach();
  },
);

forEachBackend(
  "VfioDevice.attach() is NOT_SUPPORTED when a token is given that the kernel does not take",
  async (setup) => {
    const edu = await setup.take("edu0");
    const space = setup.space();
    const options = { vfToken: TOKEN };
    const error = await refused(
      "NOT_SUPPORTED",
      () => VfioDevice.attach(edu, space, options),
    );
    assertEquals(error.hint, "leave vfToken out");
    await VfioDevice.attach(edu, space);
  },
);

withContainer(
  "VFIO_GROUP_GET_DEVICE_FD takes one token after the device's name",
  async (setup) => {
    await using physical = await onVfio(setup);
    await physical.write("sriov_numvfs", "1");
    const container = setup.container();
    const opened = (address: string) => {
      const { group } = vfioNodes(setup.host.function(address));
      const file = setup.use(new Group(setup.kernel, group!));
      file.setContainer(container);
      return file;
    };
    const { address } = physical;
    const [pf, vf] = [opened(address), opened(FIRST)];
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    pf.device(`${address} vf_token=${TOKEN}`).close();
    const token = `vf_token=${TOKEN}`;
    for (
      const [name, expected] of [
        [FIRST, "EACCES"],
        [`${FIRST} `, "EACCES"],
        [`${FIRST} vf_token=${OTHER}`, "EACCES"],
        [`${FIRST}  ${token} `, undefined],
        [`${FIRST} ${token.toUpperCase()}`, "EINVAL"],
        [`${FIRST} vf_token=${TOKEN.toUpperCase()}`, undefined],
        [`${FIRST} ${token} ${token}`, "EINVAL"],
        [`${FIRST} ${token}0`, "EINVAL"],
        [`${FIRST} ${token.slice(0, -1)}`, "EINVAL"],
        [`${FIRST} vf_token=${TOKEN.replaceAll("-", "0")}`, "EINVAL"],
        [`${FIRST}${token}`, "ENODEV"],
      ] as const
    ) {
      assertEquals(answer(() => vf.device(name).close()), expected, name);
    }
  },
);
