import {
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
} from "@std/assert";
import type { VfioError } from "../../../../lib/errors.ts";
import { refuseInUse } from "../../../../lib/host/guards/refuse.ts";
import { Host } from "../../../../lib/host/host.ts";
import type { SimulatedHost } from "../../../../lib/sim/host.ts";
import { intercept } from "../../../../lib/kernel/intercept.ts";
import { O_RDWR } from "../../../../lib/uapi/linux/fcntl.ts";
import { refused } from "../../../failures.ts";
import { DEFAULT, hostWith, NIC, NVME, usual } from "./used_host.ts";

/** A host that uses a disk and an interface. */
function usedHost(): SimulatedHost {
  return hostWith(
    usual().mount("259:1", "/").mount("259:2", "/home")
      .routes(["eth0", ...DEFAULT]),
  );
}

function refusal(work: Promise<unknown>): Promise<VfioError> {
  return refused("HOST_IN_USE", () => work);
}

Deno.test("refuseInUse() names every use, and how to insist", async () => {
  const host = usedHost();
  const error = await refusal(refuseInUse(host, host.functions()));
  assertEquals(error.device, undefined);
  assertEquals(
    error.message,
    `vfio: the host uses what would be taken from it:
  ${NVME}: /dev/nvme0n1p1 is mounted at /; /dev/nvme0n1p2 is mounted at /home
  ${NIC}: the IPv4 default route is through eth0
hint: end that use, or insist by name: --insist ${NVME} --insist ${NIC}, or ` +
      `insist: ["${NVME}","${NIC}"] in a script`,
  );
});

Deno.test("refuseInUse() throws for functions that were not insisted on", async () => {
  const host = usedHost();
  const error = await refusal(
    refuseInUse(host, host.functions(), [NVME.slice("0000:".length)]),
  );
  assertEquals([error.device, error.problem], [
    NIC,
    "the host uses it: the IPv4 default route is through eth0",
  ]);
  await refuseInUse(host, host.functions(), [NVME, NIC]);
  await assertRejects(() => refuseInUse(host, [], ["nvme0"]), TypeError);
});

Deno.test("refuseInUse() waits a short time for a node to be closed", async () => {
  const host = hostWith(usual());
  const udev = host.machine.spawn({ name: "(udev-worker)" });
  udev.open("/dev/nvme0n1", O_RDWR);
  const error = await refusal(refuseInUse(host, host.functions()));
  assertMatch(error.problem, /nvme0n1 is open in \(udev-worker\)/);
  setTimeout(() => udev.exit(), 300);
  await refuseInUse(host, host.functions());
});

Deno.test("Host.take() throws when the host uses the function and nobody insists", async () => {
  const host = usedHost();
  const writes: string[] = [];
  const watched = new Host({
    kernel: intercept(host.kernel, ({ method, args }, proceed) => {
      if (method.startsWith("write")) writes.push(args[0] as string);
      return proceed();
    }),
  });
  const error = await refusal(watched.take(NIC));
  assertEquals(
    error.message,
    `vfio ${NIC}: the host uses it: the IPv4 default route is through eth0\n` +
      "hint: end that use, or insist on it: " +
      `host.take("${NIC}", { insist: true })`,
  );
  assertEquals(writes, []);
  {
    await using taken = await watched.take(NIC, { insist: true });
    assertEquals(taken.device.driver, "vfio-pci");
  }
  assertEquals(host.function(NIC).driver, "e1000e");
  assertGreater(writes.length, 0);
});

Deno.test("Host.take() takes a disk when it is not mounted, and an interface when it is not used", async () => {
  const host = hostWith(usual().routes(["eth1", "0002A8C0", "00FFFFFF"]));
  for (const address of [NVME, NIC]) {
    await using taken = await host.take(address);
    assertEquals(taken.device.driver, "vfio-pci");
  }
});
