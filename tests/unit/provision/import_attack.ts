import { assert } from "@std/assert";
import { emit, HANDOFF_FORMATS } from "../../../lib/handoff/emit.ts";
import { VfioError } from "../../../lib/errors.ts";
import { exists } from "../../../lib/host/sysfs.ts";
import { apply } from "../../../lib/provision/apply.ts";
import {
  IMPORT_SOURCES,
  importState,
} from "../../../lib/provision/import/import.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { parseState } from "../../../lib/provision/state/parse.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import type { Topology } from "../../../lib/sim/machine/topology.ts";
import { randomNumbers } from "../random.ts";

const A = "0000:01:00.0";

const MACHINE: Topology = {
  functions: {
    [A]: { id: "10de:2204", class: 0x030000, driver: "nouveau" },
    "0000:02:00.0": { id: "8086:10d3", class: 0x020000, driver: "e1000e" },
  },
};

const FILES: Readonly<Record<string, string>> = {
  [`/etc/driverctl.d/pci-${A}`]: "vfio-pci\n",
  "/etc/libvirt/qemu/a.xml":
    "<domain><devices><hostdev mode='subsystem' type='pci' managed='yes'>" +
    "<driver model='vfio-pci'/><source><address domain='0x0000' bus='0x01' " +
    "slot='0x00' function='0x0'/></source><rom file='/x'/></hostdev>" +
    "</devices></domain>\n",
  "/etc/modprobe.d/vfio.conf":
    "options vfio-pci ids=10de:2204,8086:10d3 disable_vga=1\n" +
    "softdep nouveau pre: vfio-pci\nblacklist nouveau\n",
  "/etc/pve/qemu-server/100.conf":
    "name: a\nhostpci0: 0000:01:00.0,pcie=1\nhostpci1: mapping=nic,mdev=x\n" +
    "[snap]\nhostpci0: 0000:02:00\n",
  "/etc/pve/mapping/pci.cfg":
    "nic\n\tmap node=,path=0000:02:00.0,id=8086:10d3\n",
};

/** Texts that are likely to break what reads or writes them. */
const ODD = [
  ...["", " ", "\0", "\n", "\r", "\t", "'", '"', "<", ">", "&", "%", "\\"],
  ...["$(x)", "`x`", "../", "/", ",", ";", "=", "ü", "\u2028", "\ud800", "[["],
  ...["__proto__", "ffffffff", "-1", "9".repeat(30), "x".repeat(5000), "]]>"],
];

function damaged(random: (below: number) => number, text: string): string {
  let damaged = text;
  for (let i = random(4) + 1; i > 0; i--) {
    const at = random(damaged.length + 1);
    const end = at + random(12);
    damaged = damaged.slice(0, at) + ODD[random(ODD.length)] +
      damaged.slice(end);
  }
  return damaged;
}

Deno.test("importState() returns a valid state, or throws a VfioError, whatever the files of other tools have", async () => {
  const random = randomNumbers(15);
  for (let i = 0; i < 60; i++) {
    const files = Object.fromEntries(
      Object.entries(FILES).map((
        [path, text],
      ) => [path, damaged(random, text)]),
    );
    const host = simulate({ ...MACHINE, files });
    for (const source of IMPORT_SOURCES) {
      try {
        const { state } = await importState(host, source);
        plan(host, parseState(JSON.parse(JSON.stringify(state))));
      } catch (error) {
        assert(
          error instanceof VfioError,
          `${source} ${JSON.stringify(files)}`,
        );
      }
    }
  }
});

Deno.test("emit() writes a name as it is, or refuses it, in every format", () => {
  const host = simulate({
    functions: { [A]: { id: "10de:2204", driver: "vfio-pci" } },
  });
  for (const format of HANDOFF_FORMATS) {
    for (const name of ODD) {
      for (const option of ["name", "node", "consumer"]) {
        try {
          const { text } = emit(format, [host.function(A)], { [option]: name });
          assert(!/[\0\r\u2028]/.test(text), `${format} ${option} ${name}`);
        } catch (error) {
          assert(
            error instanceof VfioError || error instanceof TypeError,
            `${format} ${option} ${JSON.stringify(name)}: ${error}`,
          );
        }
      }
    }
  }
});

Deno.test("apply() leaves nothing where a hand-over cannot be written", async () => {
  const host = simulate({
    functions: { [A]: { id: "10de:2204", driver: "nouveau" } },
    files: { "/etc/file": "", "/etc/dir/file": "" },
  });
  for (
    const path of ["/etc/file/cdi.json", "/etc/dir", "/proc/x", "/sys/x/y"]
  ) {
    let error: unknown;
    try {
      await apply(host, {
        functions: [{ select: A, driver: "vfio-pci" }],
        handoff: [{ format: "cdi", path, name: "example.com/gpu" }],
      });
    } catch (thrown) {
      error = thrown;
    }
    assert(error instanceof VfioError, `${path}: ${error}`);
    assert(host.function(A).driver === "nouveau", path);
    assert(!exists(host.kernel, "/run/passthru/apply-1.jsonl"), path);
  }
});
