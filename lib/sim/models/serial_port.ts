import { bytes, struct, u16, u8 } from "../../uapi/layout.ts";
import {
  UART_FCR,
  UART_FCR_CLEAR_RCVR,
  UART_FCR_CLEAR_XMIT,
  UART_FCR_ENABLE_FIFO,
  UART_IER,
  UART_IER_MSI,
  UART_IER_RDI,
  UART_IER_RLSI,
  UART_IER_THRI,
  UART_IIR,
  UART_IIR_NO_INT,
  UART_IIR_RDI,
  UART_IIR_RLSI,
  UART_IIR_THRI,
  UART_LCR,
  UART_LCR_DLAB,
  UART_LSR,
  UART_LSR_DR,
  UART_LSR_OE,
  UART_LSR_TEMT,
  UART_LSR_THRE,
  UART_MCR,
  UART_MCR_AFE,
  UART_MCR_DTR,
  UART_MCR_OUT2,
  UART_MCR_RTS,
  UART_MSR,
  UART_MSR_CTS,
  UART_MSR_DCD,
  UART_MSR_DCTS,
  UART_MSR_DDSR,
  UART_MSR_DSR,
  UART_RX,
  UART_SCR,
  UART_TX,
} from "../../uapi/linux/serial_reg.ts";

const FIFO_SIZE = 16;

/** `struct serial_port`, without the FIFO in it. */
const state = struct("serial_port", {
  uart_reg: bytes(8),
  fifo: bytes(FIFO_SIZE),
  head: u8,
  tail: u8,
  count: u8,
  dlab: u8,
  overrun: u8,
  divisor: u16,
  fcr: u8,
  max_fifo_size: u8,
  intr_trigger_level: u8,
});

/** Bytes of a port's saved state. */
export const PORT_STATE_SIZE: number = state.size;

/**
 * A serial port of `samples/vfio-mdev/mtty.c`: a 16550 that receives what it
 * sends.
 */
export class SerialPort {
  readonly #interrupt: () => void;
  readonly #registers = new Uint8Array(8);
  readonly #fifo = new Uint8Array(FIFO_SIZE);
  #head = 0;
  #tail = 0;
  #count = 0;
  #room = FIFO_SIZE;
  #fifoControl = 0;
  /** 1 once the FIFO was set up, whatever was asked for. */
  #triggerLevel = 0;
  #overrun = false;
  #divisor = 0;

  /** @param interrupt Sends an interrupt. */
  constructor(interrupt: () => void) {
    this.#interrupt = interrupt;
  }

  /** Reads a register. */
  read(register: number): number {
    switch (register) {
      case UART_RX:
        return this.#latched ? this.#divisor & 0xff : this.#receive();
      case UART_IER:
        return this.#latched ? this.#divisor >> 8 : this.#enabled(0x0f);
      case UART_IIR:
        return this.#cause() | 0xc0;
      case UART_LSR:
        return this.#status();
      case UART_MSR:
        return UART_MSR_DSR | UART_MSR_DDSR | UART_MSR_DCD |
          (this.#clearToSend ? UART_MSR_CTS | UART_MSR_DCTS : 0);
      default:
        return this.#registers[register] ?? 0;
    }
  }

  /** Writes a register. */
  write(register: number, value: number): void {
    switch (register) {
      case UART_TX:
        if (this.#latched) this.#divisor |= value;
        else this.#send(value);
        return;
      case UART_IER:
        if (this.#latched) {
          this.#divisor |= value << 8;
          return;
        }
        this.#registers[UART_IER] = value;
        if (this.#enabled(UART_IER_THRI) && this.#isEmpty) this.#interrupt();
        return;
      case UART_FCR:
        if ((value & (UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT)) !== 0) {
          this.#count = this.#head = this.#tail = 0;
        }
        this.#fifoControl = value;
        this.#triggerLevel = 1;
        this.#room = (value & UART_FCR_ENABLE_FIFO) !== 0 ? FIFO_SIZE : 1;
        return;
      case UART_LCR:
        if ((value & UART_LCR_DLAB) !== 0) this.#divisor = 0;
        this.#registers[UART_LCR] = value;
        return;
      case UART_MCR:
        this.#registers[UART_MCR] = value;
        if (!this.#enabled(UART_IER_MSI)) return;
        if ((value & UART_MCR_OUT2) !== 0) this.#interrupt();
        if ((value & (UART_MCR_RTS | UART_MCR_DTR)) !== 0) this.#interrupt();
        return;
      case UART_SCR:
        this.#registers[UART_SCR] = value;
    }
  }

  /** Saves its state, as `struct serial_port`. */
  save(): Uint8Array {
    return state.alloc({
      uart_reg: this.#registers,
      fifo: this.#fifo,
      head: this.#head,
      tail: this.#tail,
      count: this.#count,
      dlab: Number(this.#latched),
      overrun: Number(this.#overrun),
      divisor: this.#divisor,
      fcr: this.#fifoControl,
      max_fifo_size: this.#room,
      intr_trigger_level: this.#triggerLevel,
    });
  }

  /** Loads a state that was saved. */
  load(saved: Uint8Array): void {
    const loaded = state.decode(saved);
    this.#registers.set(loaded.uart_reg);
    this.#fifo.set(loaded.fifo);
    this.#head = loaded.head;
    this.#tail = loaded.tail;
    this.#count = loaded.count;
    this.#overrun = loaded.overrun !== 0;
    this.#divisor = loaded.divisor;
    this.#fifoControl = loaded.fcr;
    this.#room = loaded.max_fifo_size;
    this.#triggerLevel = loaded.intr_trigger_level;
  }

  get #latched(): boolean {
    return (this.#registers[UART_LCR]! & UART_LCR_DLAB) !== 0;
  }

  // As in the sample, a FIFO that is full looks empty.
  get #isEmpty(): boolean {
    return this.#head === this.#tail;
  }

  get #clearToSend(): boolean {
    const automatic = (this.#registers[UART_MCR]! & UART_MCR_AFE) !== 0;
    return !automatic || this.#count < this.#room;
  }

  #enabled(bits: number): number {
    return this.#registers[UART_IER]! & bits;
  }

  #receive(): number {
    const received = this.#isEmpty ? 0 : this.#fifo[this.#tail]!;
    if (!this.#isEmpty) {
      this.#count--;
      this.#tail = (this.#tail + 1) % FIFO_SIZE;
    }
    if (this.#isEmpty && this.#enabled(UART_IER_THRI)) this.#interrupt();
    return received;
  }

  #send(value: number): void {
    if (this.#count >= this.#room) {
      this.#overrun = true;
      if (this.#enabled(UART_IER_RLSI)) this.#interrupt();
      return;
    }
    this.#fifo[this.#head] = value;
    this.#count++;
    this.#head = (this.#head + 1) % FIFO_SIZE;
    this.#overrun = false;
    const isTrigger = this.#count === this.#triggerLevel;
    if (isTrigger && this.#enabled(UART_IER_RDI)) this.#interrupt();
  }

  #cause(): number {
    let cause = 0;
    if (this.#enabled(UART_IER_RLSI) && this.#overrun) cause |= UART_IIR_RLSI;
    if (this.#enabled(UART_IER_RDI) && this.#count >= this.#triggerLevel) {
      cause |= UART_IIR_RDI;
    }
    if (this.#enabled(UART_IER_THRI) && this.#isEmpty) cause |= UART_IIR_THRI;
    // The cause of a change of the line is 0, which is not seen.
    return cause === 0 ? UART_IIR_NO_INT : cause;
  }

  #status(): number {
    return (this.#isEmpty ? UART_LSR_TEMT | UART_LSR_THRE : UART_LSR_DR) |
      (this.#overrun ? UART_LSR_OE : 0);
  }
}
