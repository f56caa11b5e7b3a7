import { simulate } from "../../../lib/sim/mod.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AttachTarget, BackendName } from "../../../backends/backend.ts";
import { selectBackend } from "../../../backends/select.ts";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";

const A = "0000:00:03.0";
const GROUP = "/dev/vfio/4";
const CDEV = "/dev/vfio/devices/vfio0";

interface Options {
  /** The nodes, and the errno of opening each; "" for success. */
  nodes: Record<string, string>;
  noIommu?: boolean;
}

/** A device with these nodes, and a record of what is opened and closed. */
function setUp({ nodes, noIommu = false }: Options) {
  const host = simulate({
    kernel: { iommufd: false },
    functions: { [A]: { id: "8086:10d3", group: 4 } },
  });
  const calls: string[] = [];
  const kernel = intercept(host.kernel, ({ method, args }, proceed) => {
    if (method === "close") return calls.push(`close ${args[0]}`);
    const path = args[0] as string;
    if (method === "stat" && path in nodes) return {};
    if (method !== "open") return proceed();
    calls.push(`open ${path}`);
    const answer = nodes[path];
    if (answer === "") return 7;
    throw new KernelError(errnoNumber(answer ?? "ENOENT"), "open", path);
  });
  const device = new Host({ kernel }).function(A);
  const target: AttachTarget = {
    device,
    group: device.iommuGroup!,
    noIommu,
    nodes: {
      group: GROUP in nodes ? GROUP : undefined,
      cdev: CDEV in nodes ? CDEV : undefined,
    },
  };
  const select = (wanted: BackendName | "auto") =>
    selectBackend(target, wanted);
  return { select, calls };
}

const BOTH = { [GROUP]: "", [CDEV]: "", "/dev/iommu": "" };

function failure(step: () => unknown): string {
  const error = assertThrows(step, VfioError);
  assertEquals([error.code, error.device], ["BACKEND_UNAVAILABLE", A]);
  assert(error.hint !== undefined);
  return error.message.split("\n")[0]!;
}

Deno.test("selectBackend() chooses iommufd when its nodes can be opened", () => {
  const { select, calls } = setUp({ nodes: BOTH });
  assertEquals(select("auto"), {
    backend: "iommufd",
    reason: `/dev/iommu and ${CDEV} both work`,
  });
  // The nodes that it opened for the check are closed again.
  assertEquals(calls, [
    "open /dev/iommu",
    "close 7",
    `open ${CDEV}`,
    "close 7",
  ]);
});

for (
  const [nodes, reason] of [
    [{ [GROUP]: "", [CDEV]: "" }, "/dev/iommu does not exist"],
    [
      { [GROUP]: "", "/dev/iommu": "" },
      "the device has no node of its own in /dev/vfio/devices",
    ],
    [
      { ...BOTH, "/dev/iommu": "EACCES" },
      "/dev/iommu cannot be opened (EACCES)",
    ],
    [{ ...BOTH, [CDEV]: "EPERM" }, `${CDEV} cannot be opened (EPERM)`],
    [{ ...BOTH, [CDEV]: "ENOENT" }, `${CDEV} cannot be opened (ENOENT)`],
  ] as const
) {
  Deno.test(`selectBackend() chooses legacy when ${reason}`, () => {
    const { select, calls } = setUp({ nodes });
    assertEquals(select("auto"), { backend: "legacy", reason });
    const opened = calls.filter((call) => call.startsWith("open"));
    const closed = calls.filter((call) => call.startsWith("close"));
    const failed = reason.includes("cannot be opened") ? 1 : 0;
    assertEquals(closed.length, opened.length - failed);
  });
}

Deno.test("selectBackend() chooses legacy when there is no IOMMU and the device has no node of its own", () => {
  const { select } = setUp({
    nodes: { [GROUP]: "", "/dev/iommu": "" },
    noIommu: true,
  });
  assertEquals(select("auto"), {
    backend: "legacy",
    reason: "without an IOMMU only the container serves the device",
  });
  assertEquals(
    failure(() => select("iommufd")),
    `vfio ${A}: iommufd was asked for, but without an IOMMU only the ` +
      "container serves the device",
  );
});

Deno.test("selectBackend() chooses iommufd when there is no IOMMU and the device has a node of its own", () => {
  const { select } = setUp({ nodes: BOTH, noIommu: true });
  assertEquals(select("auto").backend, "iommufd");
  assertEquals(select("iommufd").backend, "iommufd");
});

Deno.test("selectBackend() chooses a backend when that is asked for", () => {
  for (const backend of ["legacy", "iommufd"] as const) {
    const { select, calls } = setUp({ nodes: BOTH });
    assertEquals(select(backend), { backend, reason: "asked for" });
    assertEquals(calls, []);
  }
});

Deno.test("selectBackend() chooses iommufd when that is asked for and a node cannot be opened", () => {
  const { select } = setUp({ nodes: { ...BOTH, "/dev/iommu": "EACCES" } });
  assertEquals(select("iommufd").backend, "iommufd");
});

Deno.test("selectBackend() throws BACKEND_UNAVAILABLE when iommufd is asked for and missing", () => {
  const noIommufd = setUp({ nodes: { [GROUP]: "", [CDEV]: "" } });
  assertEquals(
    failure(() => noIommufd.select("iommufd")),
    `vfio ${A}: iommufd was asked for, but /dev/iommu does not exist`,
  );
  const noCdev = setUp({ nodes: { [GROUP]: "", "/dev/iommu": "" } });
  assertEquals(
    failure(() => noCdev.select("iommufd")),
    `vfio ${A}: iommufd was asked for, but the device has no node of its own ` +
      "in /dev/vfio/devices",
  );
});

Deno.test("selectBackend() throws BACKEND_UNAVAILABLE when the kernel has no groups and legacy is asked for, or the only choice", () => {
  const { select } = setUp({ nodes: { [CDEV]: "" } });
  for (const wanted of ["auto", "legacy"] as const) {
    const message = failure(() => select(wanted));
    assert(message.includes("no node for IOMMU group 4"), message);
  }
  assertEquals(
    setUp({ nodes: { [CDEV]: "", "/dev/iommu": "" } }).select("auto").backend,
    "iommufd",
  );
});
