import { assertEquals, assertThrows } from "@std/assert";
import { VfioError, type VfioErrorCode } from "../../../lib/errors.ts";
import { bridgePath, serialNumber } from "../../../lib/host/pci/identity.ts";
import type { Host } from "../../../lib/host/host.ts";
import { simulate, SimulatedHost } from "../../../lib/sim/host.ts";
import { pinOf } from "../../../lib/provision/state/pin.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import type { Pin, Selector } from "../../../lib/provision/state/state.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";

const SERIAL = "a0-36-9f-ff-ff-12-34-56";

/** Two cards of the same make in two slots, each behind its port. */
const TWINS: Topology = {
  functions: {
    "0000:01:00.0": {
      id: "8086:10d3",
      behind: "0000:00:1c.0",
      driver: "e1000e",
      serial: SERIAL,
    },
    "0000:02:00.0": {
      id: "8086:10d3",
      behind: "0000:00:1c.4",
      driver: "e1000e",
      serial: "a0-36-9f-ff-ff-65-43-21",
    },
    "0000:03:00.0": { id: "10de:2204", behind: "0000:00:1d.0" },
    "0000:03:00.1": { id: "10de:1aef", behind: "0000:00:1d.0" },
  },
  files: {
    "/sys/bus/pci/slots/3/address": "0000:01:00\n",
    "/sys/bus/pci/slots/4/address": "0000:02:00\n",
    "/sys/bus/pci/slots/gpu/address": "0000:03\n",
    "/sys/bus/pci/slots/9/address": "0000:09:00\n",
  },
};

/** The function that a selector selects: the one that a plan would change. */
function selected(selector: Selector, host: Host = simulate(TWINS)) {
  const state = { functions: [{ select: selector, idleD3: "hot" as const }] };
  return plan(host, state).steps.at(-1)?.device;
}

function refusal(
  code: VfioErrorCode,
  selector: Selector,
  host?: Host,
): VfioError {
  const error = assertThrows(() => selected(selector, host), VfioError);
  assertEquals(error.code, code, error.message);
  return error;
}

Deno.test("plan() finds a function when it is selected by its address", () => {
  assertEquals(selected("0000:01:00.0"), "0000:01:00.0");
  assertEquals(selected("02:00.0"), "0000:02:00.0");
  assertEquals(selected({ address: "0000:03:00.1" }), "0000:03:00.1");
});

Deno.test("plan() finds a function when it is selected by its path", () => {
  assertEquals(selected({ path: "0000:00:1c.4/00.0" }), "0000:02:00.0");
  assertEquals(selected({ path: "0000:00:1C.4" }), "0000:00:1c.4");
});

Deno.test("plan() finds the same function by its path when buses are renumbered", () => {
  const host = simulate({
    functions: {
      "0000:03:00.0": { id: "8086:10d3", behind: "0000:02:04.0" },
      "0000:02:04.0": {
        id: "10b5:8747",
        class: 0x060400,
        behind: "0000:01:00.0",
      },
      "0000:01:00.0": {
        id: "10b5:8747",
        class: 0x060400,
        behind: "0000:00:1c.0",
      },
    },
  });
  const way = "0000:00:1c.0/00.0/04.0/00.0";
  assertEquals(bridgePath(host.function("0000:03:00.0")), way);
  assertEquals(selected({ path: way }, host), "0000:03:00.0");
  const moved = simulate({
    functions: {
      "0000:07:00.0": { id: "8086:10d3", behind: "0000:06:04.0" },
      "0000:06:04.0": {
        id: "10b5:8747",
        class: 0x060400,
        behind: "0000:05:00.0",
      },
      "0000:05:00.0": {
        id: "10b5:8747",
        class: 0x060400,
        behind: "0000:00:1c.0",
      },
    },
  });
  assertEquals(selected({ path: way }, moved), "0000:07:00.0");
});

Deno.test("plan() says where a path ends when there is no such function", () => {
  const error = refusal("DEVICE_NOT_FOUND", { path: "0000:00:1d.0/02.0" });
  assertEquals(
    error.message,
    "vfio 0000:00:1d.0: there is no function 02.0 behind it " +
      "(functions[0].select)\n" +
      "hint: behind it are 0000:00:1d.0/00.0, 0000:00:1d.0/00.1",
  );
  const beyond = refusal("DEVICE_NOT_FOUND", {
    path: "0000:00:1d.0/00.0/00.0",
  });
  assertEquals(beyond.device, "0000:03:00.0");
  assertEquals(
    beyond.hint,
    "there is nothing behind it: is the card in its slot, and switched on?",
  );
});

Deno.test("plan() throws when a path does not begin on a root bus", () => {
  const error = refusal("DEVICE_NOT_FOUND", { path: "0000:01:00.0" });
  assertEquals(error.hint, "its own path is 0000:00:1c.0/00.0");
});

Deno.test("plan() finds no virtual function when it is selected by a path", () => {
  const host = simulate({
    functions: {
      "0000:01:00.0": {
        id: "8086:10c9",
        driver: "igb",
        behind: "0000:00:1c.0",
        sriov: { total: 7, enabled: 2, id: "8086:10ca" },
      },
    },
  });
  const virtual = host.function("0000:01:10.0");
  assertEquals(bridgePath(virtual), undefined);
  const error = refusal("DEVICE_NOT_FOUND", {
    path: "0000:00:1c.0/10.0",
  }, host);
  assertEquals(error.hint, "behind it are 0000:00:1c.0/00.0");
});

Deno.test("plan() throws AMBIGUOUS, and says how to select one, when two functions have the id", () => {
  const error = refusal("AMBIGUOUS", { id: "8086:10d3" });
  assertEquals(
    error.message,
    "vfio: 2 functions have id 8086:10d3 (functions[0].select):\n" +
      "  0000:01:00.0  path 0000:00:1c.0/00.0, slot 3, " +
      `serial ${SERIAL}, driver e1000e\n` +
      "  0000:02:00.0  path 0000:00:1c.4/00.0, slot 4, " +
      "serial a0-36-9f-ff-ff-65-43-21, driver e1000e\n" +
      "hint: select one by serial number, path, slot or address",
  );
});

Deno.test("plan() accepts an id when only one function has it", () => {
  assertEquals(selected({ id: "10DE:1AEF" }), "0000:03:00.1");
  assertEquals(
    refusal("DEVICE_NOT_FOUND", { id: "dead:beef" }).problem,
    "there is no function with id dead:beef (functions[0].select)",
  );
});

Deno.test("plan() finds one of two identical cards when its serial number is given", () => {
  assertEquals(
    selected({ id: "8086:10d3", serial: SERIAL.toUpperCase() }),
    "0000:01:00.0",
  );
  const error = refusal("DEVICE_NOT_FOUND", {
    id: "8086:10d3",
    serial: "00-00-00-00-00-00-00-00",
  });
  // Both cards, with their serial numbers.
  assertEquals(error.hint?.match(/serial a0-36-9f-ff-ff-/g)?.length, 2);
});

Deno.test("plan() throws AMBIGUOUS when functions of one card share its serial number", () => {
  const both = { id: "8086:1521", serial: SERIAL };
  const host = simulate({
    functions: { "0000:01:00.0": both, "0000:01:00.1": both },
  });
  const error = refusal("AMBIGUOUS", both, host);
  assertEquals(
    error.hint,
    "functions of one card share its serial number: " +
      "select one by path, slot or address",
  );
});

Deno.test("plan() throws PERMISSION_DENIED when a user may not read serial numbers", () => {
  const { machine } = simulate(TWINS);
  const user = new SimulatedHost(machine, { uid: 1000 });
  assertEquals(serialNumber(user.function("0000:01:00.0")), "unreadable");
  refusal("PERMISSION_DENIED", { id: "8086:10d3", serial: SERIAL }, user);
});

Deno.test("serialNumber() returns none when the function has no such capability", () => {
  const host = simulate({
    functions: {
      "0000:01:00.0": { id: "8086:10d3", acs: true },
      "0000:01:01.0": { id: "8086:100e", conventional: true },
      "0000:02:00.0": { id: "8086:10d3", acs: true, serial: SERIAL },
    },
  });
  assertEquals(
    host.functions().map((fn) => serialNumber(fn)),
    ["none", "none", SERIAL],
  );
});

Deno.test("plan() finds a function when it is selected by its slot", () => {
  assertEquals(selected({ slot: "4" }), "0000:02:00.0");
  assertEquals(selected({ slot: "gpu", function: 1 }), "0000:03:00.1");
});

Deno.test("plan() lists the candidates when a slot is ambiguous or unknown", () => {
  assertEquals(
    refusal("AMBIGUOUS", { slot: "gpu" }).hint,
    'select one by its number: "function"',
  );
  assertEquals(
    refusal("DEVICE_NOT_FOUND", { slot: "9" }).hint,
    "the slot is empty",
  );
  assertEquals(
    refusal("DEVICE_NOT_FOUND", { slot: "5" }).hint,
    "there are the slots 3, 4, 9, gpu",
  );
  assertEquals(
    refusal("DEVICE_NOT_FOUND", { slot: "3" }, simulate()).hint,
    "the kernel names no slots of this machine: select by path",
  );
});

/** A host with a card at an address, for pins. */
function card(id: string, more: Topology["functions"] = {}): Host {
  return simulate({
    functions: {
      "0000:01:00.0": { id, subsystem: "1028:0001", revision: 3, group: 1 },
      ...more,
    },
  });
}

function pinned(host: Host, pin: Pin) {
  return plan(host, { functions: [{ select: "01:00.0", pin }] });
}

Deno.test("pinOf() returns a pin that matches when nothing has changed", () => {
  const host = card("8086:10d3", {
    "0000:01:00.1": { id: "8086:10d4", group: 1 },
  });
  const pin = pinOf(host.function("0000:01:00.0"));
  assertEquals(pin, {
    id: "8086:10d3",
    subsystem: "1028:0001",
    revision: 3,
    group: ["8086:10d3", "8086:10d4"],
  });
  assertEquals(pinned(host, pin).steps, []);
  // Case and order do not matter.
  pinned(host, { id: "8086:10D3", group: ["8086:10D4", "8086:10d3"] });
});

Deno.test("plan() throws IDENTITY_CHANGED when another card is at the address", () => {
  const pin = pinOf(card("8086:10d3").function("0000:01:00.0"));
  const error = assertThrows(() => pinned(card("8086:1521"), pin), VfioError);
  assertEquals(error.code, "IDENTITY_CHANGED");
  assertEquals(
    error.problem,
    "it is not what functions[0].pin says: " +
      "id: expected 8086:10d3, found 8086:1521; " +
      "group: expected 8086:10d3, found 8086:1521",
  );
});

Deno.test("plan() throws IDENTITY_CHANGED when the group has other members, or none", () => {
  const more = { "0000:01:00.1": { id: "10de:1aef", group: 1 } };
  const pin = { group: ["8086:10d3"] };
  for (
    const [host, found] of [
      [card("8086:10d3", more), "10de:1aef 8086:10d3"],
      [
        simulate({
          iommu: "none",
          functions: { "0000:01:00.0": { id: "8086:10d3" } },
        }),
        "none",
      ],
    ] as const
  ) {
    const error = assertThrows(() => pinned(host, pin), VfioError);
    assertEquals(error.code, "IDENTITY_CHANGED");
    assertEquals(
      error.problem,
      "it is not what functions[0].pin says: " +
        `group: expected 8086:10d3, found ${found}`,
    );
  }
});

Deno.test("pinOf() leaves out virtual functions when it is for another function", () => {
  const host = simulate({
    functions: {
      "0000:01:00.0": {
        id: "8086:10c9",
        driver: "igb",
        group: 1,
        sriov: { total: 7, enabled: 2, id: "8086:10ca" },
      },
      "0000:01:10.0": { group: 1 },
      "0000:01:10.2": { group: 1 },
    },
  });
  const group = (address: string) => pinOf(host.function(address)).group;
  assertEquals(group("0000:01:00.0"), ["8086:10c9"]);
  assertEquals(group("0000:01:10.0"), ["8086:10c9", "8086:10ca"]);
});
