/**
 * Compares `decodeConfigSpace` with `lspci -vvv`, on functions of a QEMU that
 * does not run its machine, and on those of this host.
 */
import { assert, assertEquals } from "@std/assert";
import { decodeConfigSpace } from "../../lib/pci/config/decode.ts";
import { compareWithLspci, lspci } from "./lspci/compare.ts";
import { onPath } from "./programs.ts";

/** The address for the config space of QEMU's q35. */
const ECAM = 0xb000_0000;

const NVME = "nvme,bus=b,serial=x,subsys=s,sriov_max_vfs=4,sriov_vq_flexible=8";

/** QEMU's arguments. Below are the buses and devices that result. */
const MACHINE = [
  ...["-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none"],
  ...["-device", "pcie-root-port,id=a,chassis=1,slot=1,addr=2"],
  ...["-device", "pcie-root-port,id=b,chassis=2,slot=2,addr=3"],
  ...["-device", "pcie-root-port,id=c,chassis=3,slot=3,addr=4"],
  ...["-device", "e1000e,bus=a"],
  ...["-device", "nvme-subsys,id=s"],
  ...["-device", `${NVME},sriov_vi_flexible=4,max_ioqpairs=10,msix_qsize=11`],
  ...["-device", "virtio-net-pci,bus=c,ats=on,aer=on"],
  ...["-device", "ich9-ahci,addr=5", "-device", "edu,addr=6"],
  ...["-device", "ich9-usb-ehci1,addr=7"],
];
const PORTS = [2, 3, 4];
const FUNCTIONS = [
  ...[0, 2, 3, 4, 5, 6, 7, 0x1f].map((slot) => [0, slot] as const),
  ...[1, 2, 3].map((bus) => [bus, 0] as const),
];

/** Reads the config space of all functions from a QEMU that runs nothing. */
async function functionsOfQemu(): Promise<Map<string, Uint8Array>> {
  const qemu = new Deno.Command("qemu-system-x86_64", {
    args: [...MACHINE, "-qtest", "stdio"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const at = (bus: number, slot: number) => ECAM + (bus << 20) + (slot << 15);
  const commands = [
    // PCIEXBAR of the host bridge.
    "outl 0xcf8 0x80000060",
    `outl 0xcfc ${ECAM + 1}`,
    // The bus behind each port.
    ...PORTS.map((slot, i) =>
      `writel ${at(0, slot) + 0x18} ${(i + 1) << 16 | (i + 1) << 8}`
    ),
    ...FUNCTIONS.map(([bus, slot]) => `read ${at(bus, slot)} 4096`),
  ];
  const writer = qemu.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${commands.join("\n")}\n`));
  const answers: string[] = [];
  let rest = "";
  for await (
    const text of qemu.stdout.pipeThrough(new TextDecoderStream())
  ) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    answers.push(...lines.filter((line) => line.startsWith("OK 0x")));
    // QEMU does not end by itself.
    if (answers.length === FUNCTIONS.length) break;
  }
  await writer.close();
  qemu.kill();
  await qemu.status;
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  return new Map(FUNCTIONS.map(([bus, slot], i) => [
    `${hex(bus)}:${hex(slot)}.0`,
    Uint8Array.fromHex(answers[i]!.replace(/^OK 0x/, "")),
  ]));
}

Deno.test({
  name: "decodeConfigSpace() agrees with lspci when the functions are QEMU's",
  ignore: !onPath("lspci") || !onPath("qemu-system-x86_64"),
  async fn() {
    const names = new Set<string>();
    let facts = 0;
    for (const [address, bytes] of await functionsOfQemu()) {
      assertEquals(bytes.length, 4096);
      const dump = decodeConfigSpace(bytes);
      assertEquals(dump.problems, [], address);
      const compared = compareWithLspci(dump, await lspci(address, bytes));
      facts += compared.values().reduce((sum, count) => sum + count, 0);
      for (const { name } of dump.capabilities) names.add(name);
    }
    assert(facts > 400, `${facts} facts`);
    for (
      const name of [
        "Power Management",
        "MSI",
        "MSI-X",
        "Express",
        "Advanced Error Reporting",
        "Access Control Services",
        "Alternative Routing-ID",
        "SR-IOV",
        "Address Translation Service",
        "Device Serial Number",
      ]
    ) assert(names.has(name), name);
  },
});

Deno.test({
  name:
    "decodeConfigSpace() agrees with lspci when the functions are this host's",
  ignore: !onPath("lspci"),
  async fn() {
    const devices = "/sys/bus/pci/devices";
    for (const { name } of await Array.fromAsync(Deno.readDir(devices))) {
      const bytes = await Deno.readFile(`${devices}/${name}/config`);
      compareWithLspci(
        decodeConfigSpace(bytes),
        await lspci(name.slice(5), bytes),
      );
    }
  },
});
