import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { serialNumber } from "../../../lib/host/pci/identity.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import type { FunctionTopology } from "../../../lib/sim/machine/topology.ts";
import {
  MAP_ANONYMOUS,
  MAP_HUGE_2MB,
  MAP_HUGETLB,
  MAP_PRIVATE,
  PROT_READ,
} from "../../../lib/uapi/linux/mman.ts";

const A = "0000:01:00.0";
const SERIAL = "00-11-22-33-44-55-66-f7";
const PATH = `/sys/bus/pci/devices/${A}`;

const card = (more: Partial<FunctionTopology>) =>
  simulate({ functions: { [A]: { id: "8086:10d3", ...more } } });

Deno.test("simulate() makes serial numbers with and without other capabilities", () => {
  for (const acs of [false, true]) {
    const host = card({ serial: SERIAL, acs });
    assertEquals(serialNumber(host.function(A)), SERIAL);
  }
});

Deno.test("simulate() throws when a serial number is malformed, or not possible", () => {
  assertThrows(
    () => serialNumber(card({ serial: "12" }).function(A)),
    TypeError,
    'serial: expected a serial number such as "a0-36-9f-ff-ff-12-34-56", got "12"',
  );
  assertThrows(
    () =>
      serialNumber(card({ serial: SERIAL, conventional: true }).function(A)),
    TypeError,
    "a conventional function can have no serial number",
  );
});

Deno.test("simulate() makes virtual functions without a serial number and with d3cold_allowed off", () => {
  const host = card({
    serial: SERIAL,
    driver: "igb",
    sriov: { total: 1, enabled: 1, id: "8086:10ca" },
  });
  const [virtual] = host.function(A).virtualFunctions;
  assertEquals(serialNumber(virtual!), "none");
  const cold = (path: string) => host.kernel.readFile(`${path}/d3cold_allowed`);
  assertEquals([cold(PATH), cold(virtual!.path)], ["1\n", "0\n"]);
});

Deno.test("d3cold_allowed accepts any number, and fails with EINVAL when the text is not one", () => {
  const { kernel } = card({});
  const path = `${PATH}/d3cold_allowed`;
  for (const [text, now] of [["0", "0\n"], ["7\n", "1\n"]] as const) {
    kernel.writeFile(path, text);
    assertEquals(kernel.readFile(path), now);
  }
  const error = assertThrows(
    () => kernel.writeFile(path, "y"),
    KernelError,
  );
  assertEquals(error.code, "EINVAL");
});

Deno.test("nr_hugepages of the host is distributed over nodes, and keeps pages in use", () => {
  const { kernel } = simulate({
    functions: { [A]: { id: "8086:10d3", numaNode: 2 } },
    hugePages: { "2M": 7 },
  });
  const pool = "hugepages/hugepages-2048kB/nr_hugepages";
  const all = `/sys/kernel/mm/${pool}`;
  const node = (number: number) =>
    `/sys/devices/system/node/node${number}/${pool}`;
  const now = () =>
    [all, node(0), node(1), node(2)].map((path) =>
      Number(kernel.readFile(path))
    );
  assertEquals(now(), [7, 3, 3, 1]);
  kernel.writeFile(node(1), "0");
  assertEquals(now(), [4, 3, 0, 1]);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB;
  const mapping = kernel.mmap(2 * 2 ** 21, PROT_READ, flags, -1, 0n);
  kernel.writeFile(all, "0");
  assertEquals(now(), [2, 2, 0, 0]);
  kernel.munmap(mapping);
  kernel.writeFile(node(0), "0");
  assertEquals(now(), [0, 0, 0, 0]);
});
