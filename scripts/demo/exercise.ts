/**
 * What the demo does with a device while it has it.
 *
 * @module
 */
import { Edu, EDU_DMA_MASK } from "../../examples/edu.ts";
import { NvmeController } from "../../examples/nvme/controller.ts";
import { type DmaMemory, PciFunction, type VfioDevice } from "../../mod.ts";
import { hex, type Report } from "./report.ts";

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
 * Moves data with a device by DMA, where it is of a kind that this knows.
 *
 * @param device The device, attached.
 * @param report Told what is done.
 * @param options Whether a disk may be written to.
 * @returns What was left on its disk, if anything.
 */
export async function exercise(
  device: VfioDevice,
  report: Report,
  { scratch }: ExerciseOptions,
): Promise<Written | undefined> {
  const fn = device.hostDevice;
  if (!(fn instanceof PciFunction)) throw new TypeError("No PCI function");
  const { vendor, device: id, class: code } = fn;
  if (code === 0x010802) return await nvme(device, report, scratch);
  if (vendor === 0x1234 && id === 0x11e8) await edu(device, report);
  else look(device, report);
}

/** An NVMe controller: asks what it is; writes to its disk and reads back. */
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

  const disk = await controller.namespace(1);
  const block = DISK_OFFSET / disk.blockSize;
  using out = page(device, report, "out");
  using back = page(device, report, "back");
  const bytes = crypto.getRandomValues(out.bytes).slice();
  await report.step(
    "written",
    () => controller.write(disk, block, out),
    () => `${PAGE} bytes to the disk: ${hex(out.bytes)}`,
  );
  await report.step(
    "read back",
    () => controller.read(disk, block, back),
    () => `${PAGE} bytes from the disk: ${hex(back.bytes)}`,
  );
  compare(out, back, report);
  return { bytes, offset: DISK_OFFSET };
}

/** QEMU's `edu`: has it copy a page through its own memory. */
async function edu(device: VfioDevice, report: Report): Promise<void> {
  device.setBusMaster(true);
  using registers = device.region(0).map();
  const driver = new Edu(registers);
  report.line(
    "register",
    `0x${driver.id.toString(16)} says which device it is`,
  );
  using out = page(device, report, "out", EDU_DMA_MASK);
  using back = page(device, report, "back", EDU_DMA_MASK);
  crypto.getRandomValues(out.bytes);
  await report.step(
    "copied",
    () => driver.copy(out, back),
    () => `${PAGE} bytes through the device`,
  );
  report.line("out", hex(out.bytes));
  report.line("back", hex(back.bytes));
  compare(out, back, report);
}

/** Any other: looks at what every PCI function has. */
function look(device: VfioDevice, report: Report): void {
  const { config } = device;
  const ids = [config.read16(0), config.read16(2)]
    .map((id) => id.toString(16).padStart(4, "0"));
  report.line("config", `${config.size} bytes; ids ${ids.join(":")}`);
  for (let index = 0; index < 6; index++) {
    const { size, mappable } = device.region(index);
    if (size === 0) continue;
    const how = mappable.length > 0 ? "can be mapped" : "read and write only";
    report.line(`BAR ${index}`, `${size} bytes, ${how}`);
  }
  report.line("DMA", "none: the demo does not know how to move data with it");
}

function page(
  { space }: VfioDevice,
  report: Report,
  name: string,
  dmaMask?: bigint,
): DmaMemory {
  const memory = space.allocate(
    PAGE,
    dmaMask === undefined ? {} : { dmaMask },
  );
  const iova = `0x${memory.iova.toString(16)}`;
  report.line("memory", `${PAGE} bytes at IOVA ${iova}, the way ${name}`);
  return memory;
}

function compare(out: DmaMemory, back: DmaMemory, report: Report): void {
  const { bytes } = back;
  const wrong = out.bytes.findIndex((byte, i) => byte !== bytes[i]);
  if (wrong !== -1) throw new Error(`Byte ${wrong} came back different`);
  report.line("compared", `all ${PAGE} bytes are equal`);
}
