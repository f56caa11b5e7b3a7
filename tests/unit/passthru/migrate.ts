import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { call, json } from "../passthru_bench.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const FIXED = "0000:03:00.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";
const FILE = "/tmp/device.state";

function setUp() {
  const movable = { model: "scratchpad", driver: "mlx5_vfio_pci" };
  return simulate({
    functions: {
      [A]: movable,
      [B]: movable,
      [FIXED]: { id: "8086:10d3", driver: "vfio-pci" },
    },
    mediated: { [UUID]: { parent: PARENT, type: "mtty-1" } },
    mediatedTypes: {
      [PARENT]: { "mtty-1": { instances: 4, model: "mtty-1" } },
    },
    files: { "/tmp/.keep": "" },
  });
}

Deno.test("passthru migrate save and load carry a device's state in a file", async () => {
  const host = setUp();
  const saved = await call(host, ["migrate", "save", "01:00.0", FILE]);
  assertEquals(saved, {
    code: 0,
    out: `${A} is stopped, and its state saved to ${FILE}: 76 bytes\n`,
    err: "",
  });
  assertEquals(host.kernel.stat(FILE).mode & 0o777, 0o600);
  const loaded = await call(host, ["migrate", "load", B, FILE]);
  assertEquals(loaded, {
    code: 0,
    out: `${B} runs with the state of ${FILE}: 76 bytes\n`,
    err: "",
  });
  assertEquals(
    await json(host, ["migrate", "save", A, "/tmp/again", "--precopy"]),
    { device: A, action: "save", file: "/tmp/again", bytes: 76 },
  );
  const mediated = await json(host, ["migrate", "save", UUID, "/tmp/tty"]);
  assertEquals([mediated.device, mediated.bytes], [UUID, 60]);
});

Deno.test("passthru migrate load leaves a device running that the file is not for", async () => {
  const host = setUp();
  await call(host, ["migrate", "save", UUID, FILE]);
  const { code, err } = await call(host, ["migrate", "load", A, FILE]);
  assertEquals(code, 1);
  assertStringIncludes(err, "cannot load a state into it: write: EINVAL");
  await using space = new AddressSpace({ host });
  await using device = await VfioDevice.attach(A, space);
  assertEquals(await (await device.migration())!.state(), "running");
});

Deno.test("passthru migrate save leaves no file, and the device running, when it is interrupted", async () => {
  const host = setUp();
  const abort = new AbortController();
  abort.abort();
  const { signal } = abort;
  const argv = ["migrate", "save", A, FILE];
  const { code } = await call(host, argv, { signal });
  assertEquals(code, 130);
  assertEquals(host.kernel.readdir("/tmp"), [".keep"]);
});

for (
  const [name, argv, code, message] of [
    ["an unknown action", ["move", A, FILE], 2, "expected one of save, load"],
    ["no file", ["save", A], 2, "FILE is missing"],
    ["a file that is there", ["save", A, "/tmp/.keep"], 2, "is there already"],
    ["no such file", ["load", A, "/tmp/none"], 2, "there is no file"],
    ["precopy to load", ["load", A, FILE, "--precopy"], 2, "--precopy is for"],
    ["two outputs", ["save", A, "-", "--json"], 2, "cannot both be written"],
    ["no such device", ["save", "04:00.0", FILE], 1, "0000:04:00.0"],
    ["a driver that cannot", ["save", FIXED, FILE], 1, "cannot migrate it"],
  ] as const
) {
  Deno.test(`passthru migrate fails when it is given ${name}`, async () => {
    const outcome = await call(setUp(), ["migrate", ...argv]);
    assertEquals(outcome.code, code, outcome.err);
    assertStringIncludes(outcome.err + outcome.out, message);
  });
}

Deno.test("passthru migrate save writes no state to a terminal", async () => {
  const argv = ["migrate", "save", A, "-"];
  const { code, err } = await call(setUp(), argv, { width: 80 });
  assertEquals(code, 2);
  assertStringIncludes(err, "not for a terminal");
});

Deno.test("passthru attach tells the features of a device", async () => {
  const argv = ["attach", A, "--no-hold"];
  const { devices } = await json(setUp(), argv);
  assert(devices[0].features.includes("migration"));
  const { out } = await call(setUp(), argv);
  assertStringIncludes(out, "  features  migration, mig-device-state");
});
