/**
 * What the demo does with a device while it has it.
 *
 * @module
 */
import { hex, idPair } from "../../lib/hex.ts";
import { Edu, EDU_DMA_MASK } from "../../examples/edu.ts";
import { NvmeController } from "../../examples/nvme/controller.ts";
import type { DmaMemory, PciFunction, VfioDevice } from "../../mod.ts";
import { firstBytes, type Report } from "./report.ts";

const PAGE = 4096;
/** Where the demo writes to a disk, in bytes from its beginning. */
const DISK_OFFSET = 1 << 20;

/** Bytes that were left on a disk. */
export interface Written {
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** Where they are, in bytes from the disk's beginning. */
  readonly offset: number;
}

/** How a device is used. */
export interface ExerciseOptions {
  /** Whether its disk holds nothing and may be written to. */
  readonly scratch: boolean;
}

/**
 * Moves data with a device by DMA, if the demo knows how to drive it.
 *
 * @param fn The function that the device is.
 * @param device The device, attached.
 * @param report Prints what is done.
 * @param options Whether the disk may be written to.
 * @returns What was left on its disk, if anything.
 */
export async function exercise(
  fn: PciFunction,
  device: VfioDevice,
  report: Report,
  { scratch }: ExerciseOptions,
): Promise<Written | undefined> {
  if (fn.class === 0x010802) return await nvme(device, report, scratch);
  if (fn.vendor === 0x1234 && fn.device === 0x11e8) await edu(device, report);
  else look(fn, device, report);
}

/** Identifies an NVMe controller, writes to its disk and reads that back. */
async function nvme(
  device: VfioDevice,
  report: Report,
  scratch: boolean,
): Promise<Written | undefined> {
  await using controller = await report.step(
    "started",
    () => NvmeController.start(device),
    () => "the controller, with queues in DMA memory",
  );
  await report.step(
    "identified",
    () => controller.identify(),
    ({ model, serial, firmware }) =>
      `${model}, serial ${serial}, firmware ${firmware}: ${PAGE} bytes by DMA`,
  );
  if (!scratch) return undefined;

  await using disk = await controller.open(1);
  const block = DISK_OFFSET / disk.blockSize;
  using out = device.space.allocate(PAGE);
  using back = device.space.allocate(PAGE);
  reportMemory(out, back, report);
  const bytes = crypto.getRandomValues(out.bytes).slice();
  await report.step(
    "written",
    () => disk.write(block, out),
    () => `${PAGE} bytes to the disk: ${firstBytes(out.bytes)}`,
  );
  await report.step(
    "read back",
    () => disk.read(block, back),
    () => `${PAGE} bytes from the disk: ${firstBytes(back.bytes)}`,
  );
  compare(out, back, report);
  return { bytes, offset: DISK_OFFSET };
}

/** Has QEMU's `edu` copy a page through its own memory. */
async function edu(device: VfioDevice, report: Report): Promise<void> {
  device.setBusMaster(true);
  using registers = device.region(0).map();
  const driver = new Edu(registers);
  report.line("register", `${hex(driver.id)} at offset 0`);
  using out = device.space.allocate(PAGE, { dmaMask: EDU_DMA_MASK });
  using back = device.space.allocate(PAGE, { dmaMask: EDU_DMA_MASK });
  reportMemory(out, back, report);
  crypto.getRandomValues(out.bytes);
  await report.step(
    "copied",
    () => driver.copy(out.iova, back.iova, PAGE),
    () => `${PAGE} bytes through the device, by DMA`,
  );
  report.line("out", firstBytes(out.bytes));
  report.line("back", firstBytes(back.bytes));
  compare(out, back, report);
}

/** Reads what every PCI function has, and writes nothing. */
function look(fn: PciFunction, device: VfioDevice, report: Report): void {
  const { config } = device;
  const ids = idPair(config.read16(0), config.read16(2));
  report.line("config", `${config.size} bytes, which begin with ${ids}`);
  for (const { index, kind, size } of fn.bars) {
    const value = hex(device.region(index).read32(0), 8);
    report.line(`BAR ${index}`, `${size} bytes of ${kind}: ${value} …`);
  }
  report.line("DMA", "none: the demo does not know how to drive this device");
}

function reportMemory(out: DmaMemory, back: DmaMemory, report: Report): void {
  const [from, to] = [out, back].map(({ iova }) => hex(iova));
  report.line("memory", `${PAGE} bytes at IOVA ${from} to send`);
  report.line("memory", `${PAGE} bytes at IOVA ${to} to receive`);
}

function compare(out: DmaMemory, back: DmaMemory, report: Report): void {
  const { bytes } = back;
  const wrong = out.bytes.findIndex((byte, i) => byte !== bytes[i]);
  if (wrong !== -1) throw new Error(`Byte ${wrong} came back different`);
  report.line("compared", `all ${PAGE} bytes are equal`);
}
