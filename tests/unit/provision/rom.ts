/**
 * Copies of ROMs. Other files test that an apply of one can end anywhere.
 */
import { chmod, chown } from "../../kernels/by_path.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { hasErrno } from "../../../lib/kernel/errno.ts";
import { intercept, type KernelCall } from "../../../lib/kernel/intercept.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { putFile } from "../../../lib/provision/journal/files.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { readRomFile } from "../../../lib/provision/steps/rom_file.ts";
import type { DesiredState } from "../../../lib/provision/state/state.ts";
import { status } from "../../../lib/provision/status.ts";
import { makeRom } from "../../../lib/sim/pci/rom.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { refused as failure } from "../../failures.ts";
import { contradicted, planned, refused } from "../planned.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const PATH = "/var/lib/roms/card.rom";
const CARD = { vendor: 0x8086, device: 0x10d3, class: 0x020000 };
/** More than one page, but less than the region. */
const IMAGES = makeRom(CARD, [9, 2]);

const topology = (
  more: Partial<FunctionTopology> = {},
  files: Topology["files"] = {},
): Topology => ({
  functions: {
    [A]: {
      id: "8086:10d3",
      class: 0x020000,
      driver: "e1000e",
      rom: "8K",
      romContents: IMAGES,
      ...more,
    },
    [B]: { id: "8086:10d3", driver: "e1000e", rom: "64K" },
  },
  files,
});

const STATE: DesiredState = {
  functions: [{ select: A, driver: "vfio-pci", rom: PATH }],
};

/** A host with a file at the path. */
function holding(contents: Uint8Array | string): Host {
  const host = simulate(topology({}, { "/var/lib/roms/other": "" }));
  const bytes = typeof contents === "string"
    ? new TextEncoder().encode(contents)
    : contents;
  putFile(host.kernel, PATH, bytes, { mode: 0o600, uid: 5, gid: 6 });
  return host;
}

/** Whether reading the ROM is enabled. */
function readable(host: Host, address = A): boolean {
  try {
    host.kernel.readFile(`/sys/bus/pci/devices/${address}/rom`);
    return true;
  } catch (error) {
    if (hasErrno(error, "EINVAL")) return false;
    throw error;
  }
}

Deno.test("plan() copies a ROM before drivers change when the file is missing", () => {
  assertEquals(planned(topology(), STATE), [
    `${A}: ROM to ${PATH}`,
    `${A}: driver vfio-pci`,
  ]);
  const host = simulate(topology());
  assertEquals(JSON.parse(JSON.stringify(plan(host, STATE))).steps[0], {
    kind: "rom",
    device: A,
    path: PATH,
    why: "there is no such file",
  });
  assert(!readable(host));
});

Deno.test("apply() copies a ROM once, and restore() removes the copy", async () => {
  const host = simulate(topology());
  const { kernel } = host;
  await apply(host, STATE);
  assertEquals(readRomFile(kernel, PATH), IMAGES);
  const { mode, uid, gid } = kernel.stat(PATH);
  assertEquals([mode, uid, gid], [0o100644, 0, 0]);
  assert(!readable(host));
  assertEquals((await apply(host, STATE)).steps, []);
  const [applied] = await status(host);
  assertEquals(applied?.steps.map(({ made, holds }) => made && holds), [
    true,
    true,
  ]);
  assertEquals((await restore(host)).left, []);
  // Its directory was made for it, and is removed.
  assertEquals(kernel.readdir("/var/lib"), ["passthru"]);
});

Deno.test("apply() copies exactly the images when the region is larger", async () => {
  for (const lengths of [[1], [16], [127], [3, 1, 12]]) {
    const romContents = makeRom(CARD, lengths);
    const host = simulate(topology({ rom: "64K", romContents }));
    await apply(host, STATE);
    assertEquals(readRomFile(host.kernel, PATH), romContents);
  }
});

Deno.test("plan() has nothing to do when the file is a ROM of the function, also a vendor's", () => {
  const vendors = new Uint8Array(65_536);
  vendors.set(makeRom(CARD, [100]));
  for (const rom of [IMAGES, makeRom(CARD), vendors]) {
    const host = holding(rom);
    assertEquals(planned(host, STATE), [`${A}: driver vfio-pci`]);
    // also by a link
    host.kernel.rename(PATH, "/var/lib/roms/there");
    host.kernel.symlink("there", PATH);
    assertEquals(planned(host, STATE), [`${A}: driver vfio-pci`]);
  }
});

Deno.test("plan() throws NOT_SUPPORTED when the file at the path is not a ROM, or cut short", () => {
  for (const contents of ["", "some text", new Uint8Array(4096).fill(0xff)]) {
    const error = refused("NOT_SUPPORTED", holding(contents), STATE);
    assertEquals(error.device, A);
    assertStringIncludes(error.problem, `${PATH} is no ROM: `);
    assertStringIncludes(error.hint!, "remove the file");
  }
  const cut = refused(
    "NOT_SUPPORTED",
    holding(IMAGES.subarray(0, 5000)),
    STATE,
  );
  assertEquals(
    cut.problem,
    `${PATH} is truncated: its images have 5632 bytes, and it has 5000`,
  );
  const host = holding(IMAGES);
  for (const rom of ["/var/lib/roms", "/dev/vfio/vfio"]) {
    const error = refused("NOT_SUPPORTED", host, {
      functions: [{ select: A, rom }],
    });
    assertStringIncludes(error.problem, `${rom} is no ROM: `);
  }
  host.kernel.unlink(PATH);
  host.kernel.symlink("nowhere", PATH);
  refused("NOT_SUPPORTED", host, STATE);
});

Deno.test("plan() throws IDENTITY_CHANGED when the file at the path is the ROM of other functions", () => {
  const rom = makeRom({ ...CARD, device: 0x10d4 }, [1, 1]);
  const error = refused("IDENTITY_CHANGED", holding(rom), STATE);
  assertEquals(error.device, A);
  assertEquals(
    error.problem,
    `${PATH} is the ROM of 8086:10d4, and this function is 8086:10d3`,
  );
});

Deno.test("plan() throws NOT_SUPPORTED when a function has no ROM, and there is no file", () => {
  const { rom: _rom, ...bare } = topology().functions![A]!;
  const host = simulate({ functions: { [A]: bare } });
  const error = refused("NOT_SUPPORTED", host, STATE);
  assertEquals(error.device, A);
  assertStringIncludes(error.problem, "it has no ROM that could be copied");
  assertStringIncludes(error.hint!, PATH);
  host.kernel.mkdir("/var/lib/roms", 0o755);
  putFile(host.kernel, PATH, IMAGES, { mode: 0o644, uid: 0, gid: 0 });
  assertEquals(planned(host, STATE), [`${A}: driver vfio-pci`]);
});

Deno.test("plan() throws a TypeError when two ROMs have one path", () => {
  assertEquals(
    contradicted(topology(), {
      functions: [A, B].map((select) => ({ select, rom: PATH })),
    }),
    `functions[0] and functions[1] have their ROMs in ${PATH}`,
  );
});

Deno.test("apply() throws NOT_SUPPORTED, and says what to do, when a ROM has no image", async () => {
  const none = new Uint8Array(8192).fill(0xff);
  const hidden = simulate(topology({ romContents: none }));
  const error = await failure("NOT_SUPPORTED", () => apply(hidden, STATE));
  assertEquals(error.device, A);
  assertStringIncludes(error.problem, "the kernel finds no signature");
  assertStringIncludes(error.hint!, "a file of the vendor's");
  assert(hasErrno((error.cause as VfioError).cause, "EIO"));

  const asleep = simulate(
    topology({ romContents: none }, {
      [`/sys/devices/pci0000:01/${A}/power_state`]: "D3hot\n",
    }),
  );
  const sleeping = await failure("NOT_SUPPORTED", () => apply(asleep, STATE));
  assertStringIncludes(sleeping.hint!, "it sleeps in D3hot: wake it");

  for (const host of [hidden, asleep]) {
    assert(!readable(host));
    assertEquals(host.function(A).driver, "e1000e");
    assertEquals(host.kernel.readdir("/var/lib"), ["passthru"]);
    assertEquals(host.kernel.readdir("/var/lib/passthru"), []);
  }
});

Deno.test("apply() throws IDENTITY_CHANGED when the ROM of a function is for others", async () => {
  const romContents = makeRom({ ...CARD, device: 0x10d4 });
  const host = simulate(topology({ romContents }));
  const error = await failure("IDENTITY_CHANGED", () => apply(host, STATE));
  assertStringIncludes(
    error.problem,
    "the content of its ROM is the ROM of 8086",
  );
  assertEquals(host.kernel.readdir("/var/lib"), ["passthru"]);
  assert(!readable(host));
});

Deno.test("apply() throws NOT_SUPPORTED when a ROM's images are longer than its BAR", async () => {
  const romContents = makeRom(CARD, [32]);
  const host = simulate(topology({ romContents }));
  const error = await failure("NOT_SUPPORTED", () => apply(host, STATE));
  assertStringIncludes(error.problem, "16384 bytes, and it has 8192");
});

Deno.test("apply() throws PERMISSION_DENIED when only root may read a ROM", async () => {
  const { machine } = simulate(topology());
  const user = machine.spawn({ uid: 1000 });
  // Everything else is allowed.
  const kernel = intercept(machine.spawn(), ({ method, args }, proceed) => {
    if (method === "open" && String(args[0]).endsWith("/rom")) {
      return user.open(String(args[0]), O_RDWR);
    }
    return proceed();
  });
  const host = new Host({ kernel });
  const error = await failure("PERMISSION_DENIED", () => apply(host, STATE));
  assertEquals(error.device, A);
  assertEquals(await status(host), []);
});

Deno.test("restore() keeps a copy when another process has changed it since", async () => {
  const changes: ((host: Host) => void)[] = [
    ({ kernel }) => kernel.writeFile(PATH, "V"),
    ({ kernel }) =>
      putFile(kernel, PATH, makeRom(CARD), { mode: 0o644, uid: 0, gid: 0 }),
    ({ kernel }) => {
      kernel.unlink(PATH);
      kernel.mkdir(PATH, 0o755);
    },
  ];
  for (const change of changes) {
    const host = simulate(topology());
    await apply(host, { functions: [{ select: A, rom: PATH }] });
    change(host);
    const { left: [left] } = await restore(host);
    assertEquals((left?.error as VfioError).code, "CHANGED");
    assert(host.kernel.readdir("/var/lib/roms").includes("card.rom"));
  }
});

Deno.test("restore() removes a copy when its owner was changed and its function is gone", async () => {
  const host = simulate(topology());
  const { kernel } = host;
  await apply(host, { functions: [{ select: A, rom: PATH }] });
  chown(kernel, PATH, 107, 36);
  chmod(kernel, PATH, 0o400);
  kernel.writeFile(`/sys/bus/pci/devices/${A}/remove`, "1");
  assertEquals((await restore(host)).left, []);
  assertEquals(kernel.readdir("/var/lib"), ["passthru"]);
});

Deno.test("apply() disables reading of a ROM when it has read it, or failed to", async () => {
  const { machine } = simulate(topology());
  const calls: KernelCall[] = [];
  const kernel = intercept(machine.spawn(), (call, proceed) => {
    if (call.method === "pwrite") calls.push(call);
    return proceed();
  });
  const none = simulate(topology({ romContents: new Uint8Array(1) }));
  await failure("NOT_SUPPORTED", () => apply(none, STATE));
  assert(!readable(none));
  await apply(new Host({ kernel }), STATE);
  assertEquals(
    calls.map(({ args }) => new TextDecoder().decode(args[1] as Uint8Array)),
    ["1", "0\n"],
  );
});
