import { assert, assertEquals, assertRejects } from "@std/assert";
import { SimulatedHost } from "../../../lib/sim/host.ts";
import { applySteps } from "../../../lib/provision/make.ts";
import { status } from "../../../lib/provision/status.ts";
import { refused } from "../../failures.ts";
import {
  bench,
  DISK,
  everyStep,
  Mortal,
  newcomer,
  NIC,
} from "../provision_bench.ts";
import { TAKE_NIC } from "./take_steps.ts";

Deno.test("status() returns what is applied, since when, by which process, and whether it holds", async () => {
  const machine = bench();
  const host = newcomer(machine);
  assertEquals(await status(host), []);
  const before = new Date();
  await applySteps(host, everyStep(), { name: "desk" });
  const [applied, ...more] = await status(host);
  assertEquals(more, []);
  assert(applied !== undefined);
  assertEquals(applied.name, "desk");
  assert(applied.since >= before && applied.since <= new Date());
  assertEquals(applied.process.name, "passthru");
  assertEquals(
    String(applied.process.pid),
    host.kernel.readlink("/proc/self"),
  );
  assertEquals(applied.steps.map(({ made, holds }) => made && holds), [
    ...everyStep().map(() => true),
  ]);
  host.kernel.writeFile("/sys/bus/pci/drivers/vfio-pci/unbind", DISK);
  host.kernel.unlink("/etc/alias");
  const [now] = await status(host);
  const gone = now!.steps.filter(({ holds }) => !holds);
  assertEquals(gone.map(({ step: { kind } }) => kind), [
    "driver",
    "node",
    "link",
    "handoff",
  ]);
});

Deno.test("status() throws PERMISSION_DENIED when the user may not read the journal", async () => {
  const machine = bench();
  await applySteps(newcomer(machine), [TAKE_NIC]);
  const host = new SimulatedHost(machine, { uid: 1000 });
  await refused("PERMISSION_DENIED", () => status(host));
});

Deno.test("status() lists a step when it was begun and not made", async () => {
  const machine = bench();
  const rehearsal = new Mortal(bench());
  await applySteps(rehearsal.host, [TAKE_NIC]);
  const nth = 1 +
    rehearsal.calls.findIndex(({ method, args }) =>
      method === "writeFileAsync" && String(args[0]).endsWith("/bind")
    );
  const { host: killed } = new Mortal(machine, { nth, after: false });
  await assertRejects(() => applySteps(killed, [TAKE_NIC]));
  const host = newcomer(machine);
  const [{ steps } = { steps: [] }] = await status(host);
  assertEquals(steps, [{ step: TAKE_NIC, made: false, holds: false }]);
  assertEquals(
    host.function(NIC).driverOverride,
    "vfio-pci",
  );
});
