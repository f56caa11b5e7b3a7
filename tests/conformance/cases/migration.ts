/** Migration, by the kernel's sample `mtty`. */
import { assertEquals } from "@std/assert";
import { VfioDevice } from "../../../mod.ts";
import {
  UART_LCR,
  UART_RX,
  UART_SCR,
  UART_TX,
} from "../../../lib/uapi/linux/serial_reg.ts";
import {
  VFIO_DEVICE_FEATURE_GET as GET,
  VFIO_DEVICE_FEATURE_SET as SET,
} from "../../../lib/uapi/vfio/feature_ioctl.ts";
import {
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  vfio_device_feature_mig_state,
  VFIO_MIG_GET_PRECOPY_INFO,
  vfio_precopy_info,
} from "../../../lib/uapi/vfio/migration.ts";
import { answer } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { KernelFile } from "../kernel_file.ts";
import { mediated } from "../mediated.ts";
import { forEachBackend, type Setup } from "../setup.ts";

/** Limits a test to systems with the kernel's samples. */
const SAMPLES = { on: "iommufd" } as const;

const STATE = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
const [STOP, RUNNING, STOP_COPY, RESUMING] = [1, 2, 3, 4];
const [PRE_COPY, PRE_COPY_P2P] = [6, 7];

/** The state of a port that nobody has used, behind its header. */
const HEADER = "4e2c3e8c89099d7e" + "01000000" + "00000000" + "01000000" +
  "00000000";
const UNUSED = HEADER + "00".repeat(33) + "10" + "00" + "00";

/** A file of a device's data. */
class DataFile extends KernelFile {
  /** Reads so many bytes, or what there is. */
  read(length: number): string {
    const bytes = new Uint8Array(length);
    const done = this.kernel.read(this.fd, bytes);
    return bytes.subarray(0, done).toHex();
  }

  /** Writes bytes. */
  write(hex: string): number {
    return this.kernel.write(this.fd, Uint8Array.fromHex(hex));
  }

  /** VFIO_MIG_GET_PRECOPY_INFO. */
  precopy(argsz = vfio_precopy_info.size): [bigint, bigint] {
    const argument = vfio_precopy_info.alloc({ argsz });
    this.ioctl(VFIO_MIG_GET_PRECOPY_INFO, argument);
    const { initial_bytes, dirty_bytes } = vfio_precopy_info.decode(argument);
    return [initial_bytes, dirty_bytes];
  }
}

/** A device that can migrate. */
class Movable {
  readonly device: DeviceFile;
  readonly #setup: Setup;

  constructor(setup: Setup, device: DeviceFile) {
    this.#setup = setup;
    this.device = device;
  }

  /** Its state. */
  get state(): number {
    const data = vfio_device_feature_mig_state.alloc({ data_fd: 99 });
    this.device.feature(GET | STATE, data);
    return vfio_device_feature_mig_state.decode(data).device_state;
  }

  /** Moves it to a state. Returns the file that it gets. */
  set(device_state: number): DataFile | undefined {
    const data = vfio_device_feature_mig_state.alloc({
      device_state,
      data_fd: 99,
    });
    this.device.feature(SET | STATE, data);
    const { data_fd } = vfio_device_feature_mig_state.decode(data);
    return data_fd < 0
      ? undefined
      : this.#setup.use(new DataFile(this.#setup.kernel, data_fd));
  }

  /** Has it run, with a port that nobody has used. */
  async renew(): Promise<void> {
    await this.device.reset();
    using file = this.set(RESUMING!)!;
    file.write(UNUSED);
    this.set(RUNNING!);
  }
}

/** Makes a mediated device, and opens it. */
async function movable(setup: Setup) {
  const made = await mediated(setup, "mtty-1");
  const opened = new Movable(setup, setup.mediatedFile(made.device));
  return Object.assign(opened, {
    [Symbol.asyncDispose]: () => made[Symbol.asyncDispose](),
  });
}

forEachBackend(
  "a device goes from state to state as vfio_mig_get_next_state() has it",
  async (setup) => {
    await using moved = await movable(setup);
    // By the wanted state, 0 to 8: the answer, or whether there is a file.
    const expected: Record<number, string> = {
      1: "EINVAL - - file file - file file EINVAL",
      2: "EINVAL - - file file - file file EINVAL",
      3: "EINVAL - - - file - EINVAL EINVAL EINVAL",
      4: "EINVAL - - file - - file file EINVAL",
      5: "EINVAL - - file file - file file EINVAL",
      6: "EINVAL - - - file - - - EINVAL",
      7: "EINVAL - - - file - - - EINVAL",
    };
    for (const [from, answers] of Object.entries(expected)) {
      for (const [to, expected] of answers.split(" ").entries()) {
        const arc = `${from} to ${to}`;
        await moved.renew();
        using source = moved.set(Number(from));
        if (Number(from) === RESUMING) source!.write(UNUSED);
        const result = answer(() => {
          using file = moved.set(to);
          return file === undefined ? "-" : "file";
        });
        assertEquals(result, expected, arc);
        const refused = expected === "EINVAL";
        assertEquals(moved.state, refused ? Number(from) : to, arc);
      }
    }
    await moved.renew();
  },
  SAMPLES,
);

forEachBackend(
  "the state of a serial port is read from one file, before and after it stops",
  async (setup) => {
    await using moved = await movable(setup);
    const { device } = moved;
    const size = new Uint8Array(8);
    device.feature(GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, size);
    assertEquals(size[0], 60);
    for (const byte of [0x61, 0x62]) {
      device.write(0, UART_TX, Uint8Array.of(byte));
    }
    device.write(0, UART_SCR, Uint8Array.of(0x5a));
    device.write(0, UART_LCR, Uint8Array.of(0x83));
    device.write(0, UART_TX, Uint8Array.of(0x0c));

    const file = moved.set(PRE_COPY!)!;
    assertEquals(file.precopy(), [24n, 0n]);
    assertEquals(answer(() => file.precopy(16)), "EINVAL");
    const wrong = { ...VFIO_MIG_GET_PRECOPY_INFO, request: 0x3b70 };
    assertEquals(answer(() => file.ioctl(wrong, new Uint8Array(24))), "ENOTTY");
    const bytes = new Uint8Array(4);
    const pread = () => setup.kernel.pread(file.fd, bytes, 0n);
    assertEquals(answer(pread), "ESPIPE");
    assertEquals(answer(() => file.write("00")), "EBADF");
    assertEquals(file.read(10), HEADER.slice(0, 20));
    assertEquals(file.precopy(), [14n, 0n]);
    assertEquals(file.read(99), HEADER.slice(20));
    // Nothing more for now.
    assertEquals(file.read(99), "");
    assertEquals(moved.set(PRE_COPY_P2P!), undefined);
    assertEquals(file.precopy(), [0n, 0n]);
    assertEquals(moved.set(STOP_COPY!), undefined);
    assertEquals(answer(() => file.precopy()), "EINVAL");
    assertEquals(
      file.read(99),
      "000000830000005a" + "6162" + "00".repeat(14) + "020002" + "01" + "00" +
        "00" + "0c00" + "00" + "10" + "00" + "00",
    );
    assertEquals(file.read(99), "");
    moved.set(STOP!);
    assertEquals(answer(() => file.read(99)), "ENODEV");
    assertEquals(answer(() => file.precopy()), "EINVAL");
    await moved.renew();
  },
  SAMPLES,
);

forEachBackend(
  "a state that is loaded must be whole and of the same kind",
  async (setup) => {
    await using moved = await movable(setup);
    const { device } = moved;
    let file = moved.set(RESUMING!)!;
    assertEquals(answer(() => file.read(1)), "EBADF");
    assertEquals(answer(() => file.precopy()), "ENOTTY");
    const pwrite = () => setup.kernel.pwrite(file.fd, new Uint8Array(1), 0n);
    assertEquals(answer(pwrite), "ESPIPE");
    assertEquals(answer(() => file.write("00".repeat(61))), "ENOMEM");
    assertEquals(answer(() => file.write("00".repeat(24))), "EFAULT");
    assertEquals(answer(() => moved.set(STOP!)), "EINVAL");
    assertEquals(moved.state, RESUMING);
    await device.reset();
    assertEquals(moved.state, RUNNING);
    assertEquals(answer(() => file.write("00")), "ENODEV");

    file = moved.set(RESUMING!)!;
    assertEquals(file.write(HEADER), 24);
    assertEquals(answer(() => moved.set(STOP!)), "EINVAL");
    const port = "0000000300000077" + "78" + "00".repeat(15) + "010001" +
      "00".repeat(5) + "00" + "10" + "01" + "00";
    assertEquals(file.write(port.slice(0, 8)), 4);
    assertEquals(file.write(port.slice(8)), 32);
    assertEquals(answer(() => file.write("00")), "ENOMEM");
    moved.set(RUNNING!);
    assertEquals(device.read(0, UART_SCR, 1), Uint8Array.of(0x77));
    assertEquals(device.read(0, UART_LCR, 1), Uint8Array.of(0x03));
    assertEquals(device.read(0, UART_RX, 1), Uint8Array.of(0x78));
    await moved.renew();
  },
  SAMPLES,
);

forEachBackend(
  "save() and load() move a serial port to another one, which runs",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    await using other = await mediated(
      setup,
      "mtty-1",
      "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002",
    );
    const space = setup.space();
    const source = await VfioDevice.attach(made.device, space);
    const target = await VfioDevice.attach(other.device, space);
    const saved = (await source.migration())!;
    const loaded = (await target.migration())!;
    source.region(0).write8(UART_SCR, 0x42);
    for (const precopy of [false, true]) {
      const before = setup.bench.holdings();
      await saved.save({ precopy, chunkSize: 7 })
        .pipeTo(loaded.load());
      assertEquals(await saved.state(), "stop");
      assertEquals(await loaded.state(), "running");
      assertEquals(target.region(0).read8(UART_SCR), 0x42);
      assertEquals(setup.bench.holdings(), before);
      await saved.moveTo("running");
    }
    const reader = saved.save({ chunkSize: 7 }).getReader();
    await reader.read();
    await reader.cancel();
    assertEquals(await saved.state(), "running");
    const writer = loaded.load().getWriter();
    await writer.write(new Uint8Array(1));
    await writer.abort();
    assertEquals(await loaded.state(), "running");
    assertEquals(target.region(0).read8(UART_SCR), 0x42);
    // Half way, as the process ends.
    await saved.save({ chunkSize: 7 }).getReader().read();
    await loaded.load().getWriter().write(new Uint8Array(1));
    await source.detach();
    await target.detach();
    const again = await VfioDevice.attach(other.device, space);
    assertEquals(await (await again.migration())!.state(), "running");
    assertEquals(again.region(0).read8(UART_SCR), 0x42);
    await again.detach();
  },
  SAMPLES,
);
