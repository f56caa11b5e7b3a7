import { assertEquals } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { refused } from "../../failures.ts";

const PHYSICAL = "0000:01:00.0";
const VIRTUAL = "0000:01:00.1";
const OTHER = "0000:02:00.0";
const vfToken = "00112233-4455-6677-8899-aabbccddeeff";

/**
 * A virtual function whose physical function a VFIO driver has, on a kernel
 * whose iommufd takes no token; its container takes it.
 */
async function withToken() {
  const host = simulate({
    kernel: { release: "6.12.0", iommufd: true },
    functions: {
      [PHYSICAL]: {
        model: "edu",
        driver: "vfio-pci",
        sriov: { total: 1, id: "1234:11e9", offset: 1, stride: 1 },
      },
      [OTHER]: { model: "edu", driver: "vfio-pci" },
    },
  });
  const { kernel } = host;
  const modules = "/sys/module/vfio_pci/parameters";
  kernel.writeFile(`${modules}/enable_sriov`, "Y");
  const numvfs = `${host.function(PHYSICAL).path}/sriov_numvfs`;
  await kernel.writeFileAsync(numvfs, "1");
  await using space = new AddressSpace({ host, backend: "legacy" });
  await VfioDevice.attach(PHYSICAL, space, { vfToken });
  return host;
}

Deno.test("VfioDevice.attach() takes the container when this kernel's iommufd takes no token", async () => {
  const host = await withToken();
  await using space = new AddressSpace({ host });
  const device = await VfioDevice.attach(VIRTUAL, space, { vfToken });
  assertEquals(space.backend, {
    backend: "legacy",
    reason: "this kernel's iommufd takes no VF token",
  });
  assertEquals(device.config.read16(0), 0x1234);
});

Deno.test("VfioDevice.attach() is BACKEND_UNAVAILABLE when iommufd was asked for and takes no token", async () => {
  const host = await withToken();
  await using space = new AddressSpace({ host, backend: "iommufd" });
  await refused(
    "BACKEND_UNAVAILABLE",
    () => VfioDevice.attach(VIRTUAL, space, { vfToken }),
  );
});

Deno.test("VfioDevice.attach() is BACKEND_UNAVAILABLE when the space has a device by iommufd and a token is needed", async () => {
  const host = await withToken();
  await using space = new AddressSpace({ host });
  await VfioDevice.attach(OTHER, space);
  const error = await refused(
    "BACKEND_UNAVAILABLE",
    () => VfioDevice.attach(VIRTUAL, space, { vfToken }),
  );
  assertEquals(error.device, VIRTUAL);
});
