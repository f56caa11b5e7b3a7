/**
 * Makes a mediated serial port, sends a text through its registers, prints what
 * it receives, and removes the port. The kernel's sample `mtty` has such ports,
 * which receive what they send:
 *
 *     modprobe mtty
 *     deno run --allow-ffi examples/serial_echo.ts "Hello"
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, type Registers, VfioDevice } from "../mod.ts";
import { apply } from "../lib/provision/mod.ts";

/** The mediated device: a name of your own, and what makes it. */
const PORT = {
  uuid: "0d6b43a1-7c2e-4c55-9a54-1f6c6d1d2b01",
  parent: "/sys/devices/virtual/mtty/mtty",
  type: "mtty-1",
};

// The registers of a 16550, each of 8 bits (`linux/serial_reg.h`)
const DATA = 0;
const FIFO_CONTROL = 2;
const MODEM_CONTROL = 4;
const LINE_STATUS = 5;

const FIFO_ENABLE_AND_CLEAR = 0x07;
const LOOP_BACK = 0x10;
const DATA_READY = 0x01;
const CAN_SEND = 0x20;

/** Drives a serial port that receives what it sends. */
export class SerialPort {
  readonly #registers: Registers;

  /** @param registers BAR 0. */
  constructor(registers: Registers) {
    this.#registers = registers;
    registers.write8(FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
    registers.write8(MODEM_CONTROL, LOOP_BACK);
  }

  /** Sends bytes, and receives as many. */
  async echo(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const received = new Uint8Array(bytes.length);
    for (const [i, byte] of bytes.entries()) {
      await this.#until(CAN_SEND);
      this.#registers.write8(DATA, byte);
      await this.#until(DATA_READY);
      received[i] = this.#registers.read8(DATA);
    }
    return received;
  }

  async #until(bit: number): Promise<void> {
    const deadline = performance.now() + 1000;
    while ((this.#registers.read8(LINE_STATUS) & bit) === 0) {
      if (performance.now() > deadline) throw new Error("No answer in 1 s");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/**
 * Sends a text through a serial port that exists only for that.
 *
 * @param host The host, real or simulated.
 * @param text What to send.
 * @returns What was received.
 */
export async function main(host: Host, text: string): Promise<string> {
  await using _made = await apply(host, { mediated: [PORT] });
  await using space = new AddressSpace({ host });
  await using device = await VfioDevice.attach(
    `/sys/bus/mdev/devices/${PORT.uuid}`,
    space,
  );
  const port = new SerialPort(device.bar(0));
  const received = await port.echo(new TextEncoder().encode(text));
  return new TextDecoder().decode(received);
}

if (import.meta.main) {
  console.log(await main(new Host(), Deno.args[0] ?? "Hello"));
}
