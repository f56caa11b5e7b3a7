import {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_INFO_NORESIZE,
  vfio_irq_set,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_NUM_REGIONS,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from "../../uapi/vfio/all.ts";
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_1,
  PCI_INTERRUPT_LINE,
} from "../../uapi/pci/regs.ts";
import type { Process } from "../fs/file.ts";
import { inMemory, received } from "../process/argument.ts";
import type { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";
import { irqData } from "../vfio/irq_request.ts";
import type { DeviceKind } from "./model.ts";
import type { ModelMigration } from "./migration.ts";
import { MTTY_LOG, mttyMigration } from "./mtty_migration.ts";
import { MttyInterrupts } from "./mtty_interrupts.ts";
import {
  SAMPLE_CONFIG_SIZE,
  SampleDriver,
  type SampleIrq,
  type SampleRegion,
} from "./sample.ts";
import { SerialPort } from "./serial_port.ts";

/** Bytes of a port's BAR. */
const PORT_SIZE = 8;
const REGION_SHIFT = 40n;

/** The serial ports of the kernel's sample (`samples/vfio-mdev/mtty.c`). */
export const MTTY: readonly DeviceKind[] = [1, 2].map((ports) => ({
  name: `mtty-${ports}`,
  id: "4348:3253",
  class: 0x070002,
  conventional: true,
  resets: [],
  create: () => new Mtty(ports),
}));

class Mtty extends SampleDriver {
  protected readonly regions = VFIO_PCI_NUM_REGIONS;
  readonly #interrupts = new MttyInterrupts();
  readonly #ports: readonly SerialPort[];
  readonly migration: ModelMigration;
  readonly log = MTTY_LOG;

  constructor(ports: number) {
    super();
    this.#ports = Array.from(
      { length: ports },
      () => new SerialPort(() => this.#interrupts.fire()),
    );
    this.migration = mttyMigration(this.#ports);
    this.#putConfig();
  }

  /** The sample sets back its migration only. */
  reset(): void {}

  mmap(): Pages {
    // It has no such operation.
    return refuse("EINVAL");
  }

  override closed(): void {
    this.#interrupts.clear();
  }

  protected region(index: number): SampleRegion {
    if (index >= VFIO_PCI_NUM_REGIONS) refuse("EINVAL");
    const size = index === VFIO_PCI_CONFIG_REGION_INDEX
      ? SAMPLE_CONFIG_SIZE
      : index < this.#ports.length
      ? PORT_SIZE
      : 0;
    return {
      size,
      flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
      offset: BigInt(index) << REGION_SHIFT,
    };
  }

  protected irq(index: number): SampleIrq {
    if (index > VFIO_PCI_MSI_IRQ_INDEX) refuse("EINVAL");
    const further = index === VFIO_PCI_INTX_IRQ_INDEX
      ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
      : VFIO_IRQ_INFO_NORESIZE;
    return { flags: VFIO_IRQ_INFO_EVENTFD | further, count: 1 };
  }

  protected override setIrqs(
    argument: Uint8Array | bigint,
    process: Process,
  ): number {
    const least = vfio_irq_set.offset.data;
    const request = received(vfio_irq_set, argument, least);
    const { buffer, byteOffset, length } = inMemory(argument);
    const room = Math.max(0, Math.min(request.argsz, length) - least);
    const bytes = new DataView(buffer, byteOffset + least, room);
    const data = irqData(request, bytes, this.irqs);
    this.#interrupts.set(request, data, (fd) => process.file(fd));
    return 0;
  }

  protected readAt(at: number, width: number): number | undefined {
    const { index, offset } = place(at);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
      return this.readConfig(offset, width);
    }
    // It answers with one byte, whatever the width.
    return index < VFIO_PCI_CONFIG_REGION_INDEX - 1
      ? this.#ports[index]?.read(offset) ?? 0
      : undefined;
  }

  protected writeAt(at: number, _width: number, value: number): boolean {
    const { index, offset } = place(at);
    if (index === VFIO_PCI_CONFIG_REGION_INDEX) {
      this.#writeConfig(offset, value);
      return true;
    }
    if (index >= VFIO_PCI_CONFIG_REGION_INDEX - 1) return false;
    this.#ports[index]?.write(offset, value & 0xff);
    return true;
  }

  #writeConfig(offset: number, value: number): void {
    const bar = [PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_1].indexOf(offset);
    if (offset === PCI_INTERRUPT_LINE) {
      this.config.setUint8(offset, value & 0xff);
    } else if (bar >= 0 && bar < this.#ports.length) {
      this.writeConfig(offset, value, PORT_SIZE);
    }
  }

  #putConfig(): void {
    const { config } = this;
    for (
      const [offset, word] of [
        [0x00, 0x3253_4348],
        [0x04, 0x0200_0001],
        [0x08, 0x0700_0210],
        [0x10, 0x0000_0001],
        [0x14, this.#ports.length > 1 ? 1 : 0],
        [0x2c, 0x3253_4348],
        [0x3c, 0x0000_0100],
        [0x40, 0x8000_0023],
        [0x44, 0x23],
        [0x48, 0x23],
        [0x4c, 0x23],
      ] as const
    ) config.setUint32(offset, word, true);
    const name = new TextEncoder().encode("PCI Serial/UART");
    for (const [i, byte] of name.entries()) config.setUint8(0x60 + i, byte);
  }
}

function place(at: number): { index: number; offset: number } {
  const shift = 2 ** Number(REGION_SHIFT);
  return { index: Math.floor(at / shift), offset: at % shift };
}
