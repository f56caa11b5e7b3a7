import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import {
  register,
  registered,
  registeredIn,
} from "../../../lib/dma/registry.ts";
import { Host } from "../../../lib/host/host.ts";
import { failure } from "../../failures.ts";

const A = "0000:00:03.0";
const B = "0000:00:03.1";
const C = "0000:00:04.0";

/** A host with two functions in group 4 and one in group 5. */
function setUp() {
  const host = simulate({
    functions: {
      [A]: { model: "edu", group: 4 },
      [B]: { model: "edu", group: 4 },
      [C]: { model: "edu", group: 5 },
    },
  });
  const space = {};
  return {
    host,
    space,
    take(address: string, owner: object = space): Disposable {
      const device = host.function(address);
      return register(device, device.iommuGroup!, owner);
    },
    /** Registers the same function of the same kernel by another `Host`. */
    takeAnew(address: string): Disposable {
      const device = new Host(host).function(address);
      return register(device, device.iommuGroup!, {});
    },
  };
}

Deno.test("register() throws ALREADY_ATTACHED when any address space has the device", () => {
  const { take, takeAnew } = setUp();
  using _first = take(A);
  const error = failure("ALREADY_ATTACHED", () => take(A));
  assertEquals(
    error.message,
    `vfio ${A}: this process has it attached already\n` +
      "hint: use the device that was attached first, or detach that one",
  );
  failure("ALREADY_ATTACHED", () => take(A, {}));
  failure("ALREADY_ATTACHED", () => takeAnew(A));
});

Deno.test("register() throws GROUP_IN_OTHER_SPACE when another space has a device of the group", () => {
  const { take } = setUp();
  using _first = take(A);
  const error = failure("GROUP_IN_OTHER_SPACE", () => take(B, {}));
  assertEquals(error.device, B);
  assertEquals(
    error.message.split("\n")[0],
    `vfio ${B}: its IOMMU group 4 is attached to another address space of ` +
      "this process",
  );
});

Deno.test("register() accepts a group's second device for the same space, and another group's device for any space", () => {
  const { take } = setUp();
  using _first = take(A);
  using _second = take(B);
  using _third = take(C, {});
  failure("ALREADY_ATTACHED", () => take(B));
});

Deno.test("register() registers nothing when it throws", () => {
  const { take } = setUp();
  const other = {};
  const first = take(A);
  failure("GROUP_IN_OTHER_SPACE", () => take(B, other));
  failure("ALREADY_ATTACHED", () => take(A));
  first[Symbol.dispose]();
  using _a = take(A, other);
  using _b = take(B, other);
});

Deno.test("register() keeps the group until its last device is released", () => {
  const { take } = setUp();
  const other = {};
  const first = take(A);
  const second = take(B);
  first[Symbol.dispose]();
  failure("GROUP_IN_OTHER_SPACE", () => take(A, other));
  take(A)[Symbol.dispose]();
  second[Symbol.dispose]();
  using _a = take(A, other);
});

Deno.test("register() ignores the devices of another host", () => {
  const { take } = setUp();
  const { take: takeThere } = setUp();
  using _here = take(A);
  using _there = takeThere(A);
});

Deno.test("registered() and registeredIn() find a device until it is removed", () => {
  const { take, host } = setUp();
  const device = host.function(A);
  const find = () => [
    registered(device)?.device.name,
    [...registeredIn(device.iommuGroup!)].map(({ device }) => device.name),
  ];
  assertEquals(find(), [undefined, []]);
  const first = take(A);
  const second = take(B);
  assertEquals(find(), [A, [A, B]]);
  first[Symbol.dispose]();
  assertEquals(find(), [undefined, [B]]);
  second[Symbol.dispose]();
  assertEquals(find(), [undefined, []]);
});
