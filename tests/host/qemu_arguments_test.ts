/**
 * Has QEMU parse the arguments. There is no device here, so QEMU must report
 * only that, and no syntax error.
 */
import { simulate } from "../../lib/sim/mod.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { qemuArguments, type QemuSyntax } from "../../lib/handoff/mod.ts";
import { newerQemu } from "../vm/newer_qemu.ts";

const A = "0000:7f:1f.6";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";

const host = simulate({
  functions: { [A]: { id: "8086:10d3" } },
  mediatedTypes: { [PARENT]: { "mtty-1": { instances: 2 } } },
  mediated: { [UUID]: { parent: PARENT, type: "mtty-1" } },
});
const fn = {
  device: host.find(A),
  // Properties of each type, and one with a comma.
  properties: { failover_pair_id: "a,b", "x-no-mmap": true, bootindex: 1 },
};
const mediated = { device: host.find(`/sys/bus/mdev/devices/${UUID}`) };

/** Starts QEMU with arguments, and returns its error message. */
async function complaint(args: readonly string[]): Promise<string> {
  const qemu = await newerQemu();
  const { stderr, signal } = await new Deno.Command(qemu.program, {
    args: [
      ...qemu.args,
      ...["-machine", "q35,accel=tcg", "-nodefaults", "-display", "none", "-S"],
      ...args,
    ],
    // Without an error QEMU would go on.
    signal: AbortSignal.timeout(60_000),
  }).output();
  assertEquals(signal, null);
  return new TextDecoder().decode(stderr);
}

for (const syntax of ["keyval", "json"] satisfies QemuSyntax["syntax"][]) {
  Deno.test(`qemuArguments() returns arguments that QEMU accepts when the syntax is ${syntax}`, async () => {
    const options = { syntax };
    for (const by of ["legacy", "iommufd"] as const) {
      assertMatch(
        await complaint(qemuArguments([fn], { by }, options)),
        /: no such host device: No such file or directory\n$/,
      );
      assertMatch(
        await complaint(qemuArguments([mediated], { by }, options)),
        /: no such host device: No such file or directory\n$/,
      );
    }
    const access = { by: "fds", iommufd: 22, devices: [23] } as const;
    assertMatch(
      await complaint(qemuArguments([fn], access, options)),
      /: error bind device fd=23 to iommufd=22: Bad file descriptor\n$/,
    );
  });
}
