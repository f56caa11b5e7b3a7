/**
 * What the kernel's sample drivers of mediated devices do: the serial port of
 * `mtty`, and the displays of `mdpy` and `mbochs`.
 */
import { assertEquals, assertThrows } from "@std/assert";
import { VfioDevice, VfioError } from "../../../mod.ts";
import {
  UART_FCR,
  UART_FCR_CLEAR_RCVR,
  UART_FCR_ENABLE_FIFO,
  UART_IER,
  UART_IER_RDI,
  UART_IIR,
  UART_LSR,
  UART_LSR_DR,
  UART_LSR_OE,
  UART_LSR_TEMT,
  UART_LSR_THRE,
  UART_MSR,
  UART_RX,
  UART_SCR,
  UART_TX,
} from "../../../lib/uapi/linux/serial_reg.ts";
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
} from "../../../lib/uapi/vfio/all.ts";
import {
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
} from "../../../lib/uapi/linux/mman.ts";
import { answer, answerOf } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { mediated } from "../mediated.ts";
import { forEachBackend } from "../setup.ts";

const PROBE = 1;
const DMABUF = 2;
const REGION = 4;
const PRIMARY = 1;
const EMPTY = UART_LSR_TEMT | UART_LSR_THRE;

/** The sizes of all regions, and the errno of the first that is not there. */
function regionSizes(device: DeviceFile, last: number): unknown[] {
  return Array.from(
    { length: last + 1 },
    (_, index) => answer(() => Number(device.region({ index }).size)),
  );
}

forEachBackend(
  "mtty has the regions and interrupts of its serial port",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const device = setup.mediatedFile(made.device);
    assertEquals(answer(() => device.irq({ index: 0 })), "EINVAL");
    const { flags, num_regions, num_irqs } = device.info();
    assertEquals([flags, num_regions, num_irqs], [2, 9, 5]);
    assertEquals(regionSizes(device, 9), [
      8,
      0,
      0,
      0,
      0,
      0,
      0,
      255,
      0,
      "EINVAL",
    ]);
    assertEquals(
      [0, 1, 2, 3, 4, 5].map((index) =>
        answer(() => {
          const { count, flags } = device.irq({ index });
          return [count, flags];
        })
      ),
      [[1, 0b0111], [1, 0b1001], ...Array(4).fill("EINVAL")],
    );
    for (
      const refused of [
        () => device.ioeventfd({ flags: 4, offset: 0n, fd: -1 }),
        () => device.plane({ flags: PROBE | REGION }),
        () => device.planeBuffer(1),
      ]
    ) assertEquals(answer(refused), "ENOTTY");
    assertEquals(answer(() => device.mmap(0, 0, 4096)), "EINVAL");
    assertEquals(answer(() => device.read(8, 0, 4)), "EFAULT");
    assertEquals(await answerOf(() => device.reset()), undefined);
    const ids = new DataView(device.read(7, 0, 4).buffer).getUint32(0, true);
    assertEquals(ids.toString(16), "32534348");
    // Of the second port there is nothing.
    device.write(7, 0x14, new Uint8Array(4).fill(0xff));
    assertEquals([...device.read(7, 0x14, 4)], [0, 0, 0, 0]);
    device.write(7, 0x10, new Uint8Array(4).fill(0xff));
    assertEquals([...device.read(7, 0x10, 4)], [0xf9, 0xff, 0xff, 0xff]);
  },
  { sample: "mtty" },
);

forEachBackend(
  "mtty receives what it sends, and interrupts",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const device = setup.mediatedFile(made.device);
    device.info();
    const read = (register: number) => device.read(0, register, 1)[0]!;
    const write = (register: number, value: number) =>
      device.write(0, register, new Uint8Array([value]));
    assertEquals(read(UART_LSR), EMPTY);
    assertEquals(read(UART_MSR), 0xb3);
    write(UART_SCR, 0x5a);
    assertEquals(read(UART_SCR), 0x5a);
    write(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
    assertEquals(read(UART_IIR), 0xc1);

    const eventfd = setup.eventfd();
    const fds = new Int32Array([eventfd.fd]);
    const connect = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const on = (action: number) => VFIO_IRQ_SET_DATA_NONE | action;
    device.setIrqs({ flags: connect, index: 0, count: 1 }, fds);
    assertEquals(
      answer(() => device.setIrqs({ flags: connect, index: 1, count: 1 }, fds)),
      "EINVAL",
    );
    assertEquals(
      answer(() => device.setIrqs({ flags: connect, index: 2, count: 1 }, fds)),
      "ENOTTY",
    );
    write(UART_IER, UART_IER_RDI);
    write(UART_TX, 0x61);
    await setup.bench.settle();
    assertEquals(eventfd.count(), 1);
    assertEquals([read(UART_IIR), read(UART_LSR)], [0xc4, UART_LSR_DR]);
    assertEquals([read(UART_RX), read(UART_LSR)], [0x61, EMPTY]);
    // It is masked by itself.
    write(UART_TX, 0x62);
    await setup.bench.settle();
    assertEquals([eventfd.count(), read(UART_RX)], [0, 0x62]);
    const unmask = on(VFIO_IRQ_SET_ACTION_UNMASK);
    device.setIrqs({ flags: unmask, index: 0, count: 1 });
    write(UART_TX, 0x63);
    await setup.bench.settle();
    assertEquals([eventfd.count(), read(UART_RX)], [1, 0x63]);
    const mask = on(VFIO_IRQ_SET_ACTION_MASK);
    assertEquals(
      answer(() => device.setIrqs({ flags: mask, index: 1, count: 1 })),
      "ENOTTY",
    );
    device.setIrqs({ flags: on(VFIO_IRQ_SET_ACTION_TRIGGER), index: 0 });
    assertEquals(
      answer(() => device.setIrqs({ flags: mask, index: 0, count: 1 })),
      "EINVAL",
    );
    device.setIrqs({ flags: connect, index: 1, count: 1 }, fds);
    write(UART_TX, 0x64);
    await setup.bench.settle();
    assertEquals([eventfd.count(), read(UART_RX)], [1, 0x64]);

    // A FIFO of 16 that is full looks empty.
    write(UART_IER, 0);
    for (let i = 0; i < 16; i++) write(UART_TX, i);
    assertEquals(read(UART_LSR), EMPTY);
    write(UART_TX, 16);
    assertEquals(read(UART_LSR), EMPTY | UART_LSR_OE);
  },
  { sample: "mtty" },
);

forEachBackend(
  "VfioDevice sends a text through mtty's registers, and receives it",
  async (setup) => {
    await using made = await mediated(setup, "mtty-2");
    const space = setup.space();
    await using device = await VfioDevice.attach(made.device, space);
    assertEquals(
      device.regions().map(({ name, size }) => [name, size]),
      [["BAR 0", 8], ["BAR 1", 8], ["config", 255]],
    );
    const port = device.bar(1);
    const received = [...new TextEncoder().encode("through the port")]
      .map((byte) => {
        port.write8(UART_TX, byte);
        return port.read8(UART_RX);
      });
    assertEquals(
      new TextDecoder().decode(new Uint8Array(received)),
      "through the port",
    );
    assertEquals(device.present, true);
    assertEquals(
      assertThrows(() => port.ioeventfd(0, 1), VfioError).code,
      "NOT_SUPPORTED",
    );
    await space.close();
  },
  { sample: "mtty" },
);

forEachBackend(
  "mdpy shows a picture in a region that it does not count",
  async (setup) => {
    await using made = await mediated(setup, "mdpy-vga");
    const device = setup.mediatedFile(made.device);
    assertEquals(device.info().num_regions, 9);
    const size = 2 ** 21;
    assertEquals(
      regionSizes(device, 17),
      [
        size,
        ...Array(6).fill(0),
        255,
        0,
        ...Array(7).fill("EINVAL"),
        size,
        "EINVAL",
      ],
    );
    const { offset, flags } = device.region({ index: 16 });
    assertEquals([offset, flags], [4096n, 7]);
    for (
      const flags of [0, PROBE, DMABUF, PROBE | DMABUF, REGION | DMABUF]
    ) {
      assertEquals(answer(() => device.plane({ flags })), "EINVAL", `${flags}`);
    }
    const short = { flags: REGION, argsz: 59 };
    assertEquals(answer(() => device.plane(short)), "EINVAL");
    assertEquals(device.plane({ flags: PROBE | REGION }).width, 0);
    const { width, height, stride, drm_format, region_index, ...plane } = device
      .plane({ flags: REGION });
    assertEquals(
      [width, height, stride, drm_format, region_index, plane.size],
      [640, 480, 2560, 0x3432_5258, 16, size],
    );
    assertEquals(answer(() => device.planeBuffer(1)), "ENOTTY");
    assertEquals(device.irq({ index: 0 }).count, 0);
    assertEquals(
      answer(() => device.setIrqs({ flags: 0x21, index: 0, count: 1 })),
      "EINVAL",
    );
    // The mode is in a capability of config space.
    const mode = new Uint32Array(3);
    new Uint8Array(mode.buffer).set(readAll(device, 0x44n, 12));
    assertEquals([...mode], [0x3432_5258, 640, 480]);
    // A read of its memory forgets where: it begins at the start.
    assertEquals([...readAll(device, BigInt(4096 + 2560 * 479), 1)], [0]);
    assertEquals(
      answer(() => readAll(device, 4096n + BigInt(size), 4)),
      "EFAULT",
    );
  },
  { sample: "mdpy" },
);

function readAll(device: DeviceFile, at: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  device.kernel.pread(device.fd, bytes, at);
  return bytes;
}

forEachBackend(
  "Display.capture() copies the picture of mdpy",
  async (setup) => {
    await using made = await mediated(setup, "mdpy-vga");
    const space = setup.space();
    await using device = await VfioDevice.attach(made.device, space);
    const display = await device.display();
    const { width, height, stride, format, source } = display.plane()!;
    assertEquals(
      [display.kind, format, width, height, stride],
      ["region", "XR24", 640, 480, 2560],
    );
    assertEquals("region" in source && source.region.index, 16);
    assertEquals(display.edid, undefined);
    const pixels = display.capture(display.plane()!);
    assertEquals(pixels.length, 480 * 2560);
    for (const row of [0, 1, 240, 479]) {
      const grey = Math.floor(row * 255 / 480);
      const bytes = pixels.subarray(row * stride, (row + 1) * stride);
      assertEquals(bytes.every((byte) => byte === grey), true, `row ${row}`);
    }
    const error = assertThrows(
      () => display.export(display.plane()!),
      VfioError,
    );
    assertEquals(error.code, "NOT_SUPPORTED");
    await space.close();
  },
  { sample: "mdpy" },
);

forEachBackend(
  "mbochs exports what it shows as a dma-buf, and takes another monitor",
  async (setup) => {
    await using made = await mediated(setup, "mbochs-small");
    const before = setup.descriptors;
    const space = setup.space();
    await using device = await VfioDevice.attach(made.device, space);
    assertEquals(
      device.regions().map(({ name, size }) => [name, size]),
      [["BAR 0", 2 ** 22], ["BAR 2", 4096], ["config", 255], ["edid", 4096]],
    );
    assertEquals(device.findRegion("edid")!.index, 9);
    const display = await device.display();
    assertEquals([display.kind, display.plane()], ["dma-buf", undefined]);

    // Four pages
    const [width, height] = [64, 64];
    const registers = device.bar(2);
    const vbe = (index: number, value: number) =>
      registers.write16(0x500 + 2 * index, value);
    [[1, width], [2, height], [3, 32], [4, 0x41]]
      .forEach(([index, value]) => vbe(index!, value!));
    // The first query of a mode fails, as the sample forgets what it made.
    const first = assertThrows(() => display.plane(), VfioError);
    assertEquals(first.message.includes("ENOMEM"), true, first.message);
    const plane = display.plane()!;
    assertEquals(
      [plane.width, plane.height, plane.stride, plane.format],
      [width, height, 4 * width, "XR24"],
    );
    assertEquals(display.plane("cursor"), undefined);
    using buffer = display.export(plane);
    assertEquals([buffer.fd > 2, buffer.size], [true, 4 * width * height]);
    assertEquals(
      setup.descriptors.filter((name) => name.startsWith("/dmabuf:")).length,
      1,
    );
    // The sample lets nobody map it.
    const { kernel } = setup;
    for (const flags of [MAP_SHARED, MAP_PRIVATE]) {
      assertEquals(
        answer(() => kernel.mmap(4096, PROT_READ, flags, buffer.fd, 0n)),
        "EINVAL",
      );
    }
    const unmapped = assertThrows(() => display.capture(plane), VfioError);
    assertEquals(unmapped.code, "NOT_SUPPORTED");
    const gone = { ...plane, source: { dmaBuf: 99 } };
    const unknown = assertThrows(() => display.export(gone), VfioError);
    assertEquals(unknown.message.includes("ENOENT"), true, unknown.message);

    const edid = display.edid!;
    assertEquals([edid.maxWidth, edid.maxHeight, edid.maxSize], [
      800,
      600,
      1024,
    ]);
    assertEquals([edid.plugged, edid.read().length], [false, 0]);
    const block = Uint8Array.from({ length: 128 }, (_, i) => i);
    edid.plug(block);
    assertEquals([edid.plugged, edid.read()], [true, block]);
    assertEquals(registers.read8(100), 100);
    edid.unplug();
    assertEquals([edid.plugged, registers.read8(100)], [false, 0]);
    await space.close();
    assertEquals(setup.descriptors, before);
  },
  { sample: "mbochs" },
);

forEachBackend(
  "mbochs refuses the planes and buffers that it has not",
  async (setup) => {
    await using made = await mediated(setup, "mbochs-small");
    const device = setup.mediatedFile(made.device);
    for (const flags of [0, PROBE, REGION, PROBE | REGION]) {
      assertEquals(answer(() => device.plane({ flags })), "EINVAL", `${flags}`);
    }
    assertEquals(device.plane({ flags: PROBE | DMABUF }).width, 0);
    const asked = { flags: DMABUF, drm_plane_type: PRIMARY };
    assertEquals(device.plane(asked).width, 0);
    assertEquals(answer(() => device.planeBuffer(1)), "ENOENT");
    assertEquals(answer(() => device.region({ index: 10 })), "EINVAL");
    assertEquals(device.region({ index: 9 }).flags, 0b1011);
  },
  { sample: "mbochs" },
);
