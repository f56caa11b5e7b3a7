import { assertEquals, assertRejects } from "@std/assert";
import { AddressSpace, Host, VfioDevice, VfioError } from "../../../mod.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import {
  VFIO_DEVICE_BIND_IOMMUFD,
  vfio_device_bind_iommufd,
} from "../../../lib/uapi/vfio/cdev.ts";
import { VFIO_GROUP_GET_DEVICE_FD } from "../../../lib/uapi/vfio/container.ts";

const VIRTUAL = "0000:01:00.0";
const PHYSICAL = "0000:02:00.0";
const vfToken = "00112233-4455-6677-8899-aabbccddeeff";

/**
 * A virtual function whose physical function a VFIO driver has, on a kernel
 * whose iommufd takes no token; its container takes it.
 */
function withToken() {
  const edu = { model: "edu", driver: "vfio-pci" };
  const sim = simulate({ functions: { [VIRTUAL]: edu, [PHYSICAL]: edu } });
  const encoder = new TextEncoder();
  const tokens: string[] = [];
  const kernel = intercept(sim.kernel, ({ method, args }, proceed) => {
    const [first, operation, argument] = args;
    if (method === "readlink" && String(first).endsWith(`${VIRTUAL}/physfn`)) {
      return sim.function(PHYSICAL).path;
    }
    if (operation === VFIO_DEVICE_BIND_IOMMUFD) {
      const { flags } = vfio_device_bind_iommufd.decode(
        whole(argument as Uint8Array),
      );
      if (flags !== 0) {
        return Promise.reject(new KernelError(22, "VFIO_DEVICE_BIND_IOMMUFD"));
      }
    }
    if (operation === VFIO_GROUP_GET_DEVICE_FD) {
      const text = new TextDecoder().decode(argument as Uint8Array);
      tokens.push(text.slice(0, -1));
      return sim.kernel.ioctlAsync(
        first as number,
        VFIO_GROUP_GET_DEVICE_FD,
        encoder.encode(`${VIRTUAL}\0`),
      );
    }
    return proceed();
  });
  return { host: new Host({ kernel }), tokens };
}

function whole(bytes: Uint8Array): Uint8Array {
  const all = new Uint8Array(vfio_device_bind_iommufd.size);
  all.set(bytes);
  return all;
}

Deno.test("VfioDevice.attach() takes the container when this kernel's iommufd takes no token", async () => {
  const { host, tokens } = withToken();
  await using space = new AddressSpace({ host });
  await VfioDevice.attach(VIRTUAL, space, { vfToken });
  assertEquals(space.backend, {
    backend: "legacy",
    reason: "this kernel's iommufd takes no VF token",
  });
  assertEquals(tokens, [`${VIRTUAL} vf_token=${vfToken}`]);
});

Deno.test("VfioDevice.attach() is BACKEND_UNAVAILABLE when iommufd was asked for and takes no token", async () => {
  const { host } = withToken();
  await using space = new AddressSpace({ host, backend: "iommufd" });
  const error = await assertRejects(
    () => VfioDevice.attach(VIRTUAL, space, { vfToken }),
    VfioError,
  );
  assertEquals(error.code, "BACKEND_UNAVAILABLE");
});

Deno.test("VfioDevice.attach() is BACKEND_UNAVAILABLE when the space has a device by iommufd and a token is needed", async () => {
  const { host } = withToken();
  await using space = new AddressSpace({ host });
  await VfioDevice.attach(PHYSICAL, space);
  const error = await assertRejects(
    () => VfioDevice.attach(VIRTUAL, space, { vfToken }),
    VfioError,
  );
  assertEquals([error.code, error.device], ["BACKEND_UNAVAILABLE", VIRTUAL]);
});

for (const backend of ["legacy", "iommufd"] as const) {
  Deno.test(`${backend}: VfioDevice.attach() is NOT_SUPPORTED when a token is given for a function that has none`, async () => {
    const host = simulate({
      functions: { [VIRTUAL]: { model: "edu", driver: "vfio-pci" } },
    });
    await using space = new AddressSpace({ host, backend });
    const error = await assertRejects(
      () => VfioDevice.attach(VIRTUAL, space, { vfToken }),
      VfioError,
    );
    assertEquals([error.code, error.hint], [
      "NOT_SUPPORTED",
      "leave vfToken out",
    ]);
  });
}
