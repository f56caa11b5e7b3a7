/**
 * The attribute `rom` (`drivers/pci/pci-sysfs.c`, `drivers/pci/rom.c`).
 */
import { assertEquals } from "@std/assert";
import { O_RDONLY, O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../../../lib/uapi/pci/regs.ts";
import { VFIO_PCI_CONFIG_REGION_INDEX } from "../../../lib/uapi/vfio/pci.ts";
import { DEVICES } from "../../vm/machines.ts";
import { answer } from "../answer.ts";
import type { Bench } from "../bench.ts";
import { forEachBackend, SYSTEMS } from "../setup.ts";

const ROM = DEVICES.find(({ name }) => name === "e1000e0")!.rom!;
/** The size of the ROM's region. */
const ROOM = 8192;
const PAGE = 4096;

/** The ROM of a function, opened. */
class RomAttribute implements Disposable {
  readonly #kernel: Bench["host"]["kernel"];
  readonly #fd: number;

  constructor({ host, machine }: Bench, name: string) {
    const path = `${host.function(machine.devices[name]!).path}/rom`;
    this.#kernel = host.kernel;
    this.#fd = host.kernel.open(path, O_RDWR);
  }

  read(length: number, offset = 0): number | string {
    const into = new Uint8Array(length);
    return answer(() => this.#kernel.pread(this.#fd, into, BigInt(offset)));
  }

  write(text: string, offset = 0): number | string {
    const from = new TextEncoder().encode(text);
    return answer(() => this.#kernel.pwrite(this.#fd, from, BigInt(offset)));
  }

  [Symbol.dispose](): void {
    this.write("0\n");
    this.#kernel.close(this.#fd);
  }
}

for (const system of SYSTEMS) {
  const test = (name: string, show: (bench: Bench) => void) =>
    Deno.test(`${name} (${system.name})`, async () => {
      await using bench = system.bench();
      show(bench);
    });

  test("rom exists when a function has a ROM, and is root's", (bench) => {
    const { host, machine } = bench;
    const { path } = host.function(machine.devices["e1000e0"]!);
    const { mode, uid, gid } = host.kernel.stat(`${path}/rom`);
    assertEquals([mode, uid, gid], [0o100600, 0, 0]);
    const none = host.function(machine.devices["edu0"]!).path;
    assertEquals(answer(() => host.kernel.stat(`${none}/rom`)), "ENOENT");
  });

  test("rom can be read when reading was enabled", (bench) => {
    using rom = new RomAttribute(bench, "e1000e0");
    assertEquals(rom.read(16), "EINVAL");
    assertEquals(rom.read(0), 0);
    assertEquals(rom.read(16, ROOM), 0);
    assertEquals(rom.write("1"), 1);
    assertEquals(rom.read(16), 16);
    assertEquals(rom.write("0\n"), 2);
    assertEquals(rom.read(16), "EINVAL");
    for (const [text, on] of Object.entries({ "1\n": 16, "n": "EINVAL" })) {
      assertEquals(rom.write(text), text.length);
      assertEquals(rom.read(16), on);
    }
    // The offset of the write does not matter, except beyond the end.
    assertEquals(rom.write("10", ROOM - 1), 1);
    assertEquals(rom.read(16), 16);
    assertEquals(rom.write("1", ROOM), "EFBIG");
    for (const text of ["x", "2\n", "\n"]) {
      assertEquals(rom.write(text), "EINVAL");
      assertEquals(rom.read(16), 16);
    }
    assertEquals(rom.write(""), 0);
    assertEquals(rom.read(16), 16);
    assertEquals(rom.write("0".repeat(PAGE + 1)), PAGE);
    assertEquals(rom.read(16), "EINVAL");
  });

  test("rom returns the images of the ROM, a page at a time", (bench) => {
    const { kernel } = bench.host;
    using rom = new RomAttribute(bench, "e1000e0");
    rom.write("1");
    assertEquals(rom.read(ROOM), PAGE);
    assertEquals(rom.read(ROOM, 16), PAGE);
    assertEquals(rom.read(ROOM, PAGE), ROM.length - PAGE);
    assertEquals(rom.read(1, ROM.length - 1), 1);
    assertEquals(rom.read(1, ROM.length), 0);
    const { path } = bench.host.function(bench.machine.devices["e1000e0"]!);
    const fd = kernel.open(`${path}/rom`, O_RDONLY);
    const bytes = new Uint8Array(ROOM);
    const first = kernel.read(fd, bytes);
    const second = kernel.read(fd, bytes.subarray(first));
    assertEquals(kernel.read(fd, bytes), 0);
    kernel.close(fd);
    assertEquals(bytes.subarray(0, first + second), ROM);
  });
}

forEachBackend(
  "rom fails with EIO when the function does not decode its memory",
  async (setup) => {
    const device = await setup.device("e1000e0");
    using rom = new RomAttribute(setup.bench, "e1000e0");
    rom.write("1");
    assertEquals(rom.read(16), 16);
    const config = VFIO_PCI_CONFIG_REGION_INDEX;
    const command = device.read(config, PCI_COMMAND, 2);
    const [low = 0, high = 0] = command;
    device.write(
      config,
      PCI_COMMAND,
      Uint8Array.of(low & ~PCI_COMMAND_MEMORY, high),
    );
    assertEquals(rom.read(16), "EIO");
    assertEquals(rom.read(16, ROOM), 0);
    device.write(config, PCI_COMMAND, command);
    assertEquals(rom.read(16), 16);
  },
);
