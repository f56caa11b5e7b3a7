/**
 * `linux/serial_reg.h`: the registers of a 16550 serial port, by offset in
 * bytes, each of 8 bits.
 *
 * @module
 */

/** A write sends; a read receives. With UART_LCR_DLAB, the divisor's low half. */
export const UART_RX = 0;
/** The same register as UART_RX, written. */
export const UART_TX = 0;
/** Which interrupts are sent. With UART_LCR_DLAB, the divisor's high half. */
export const UART_IER = 1;
/** Interrupt: a byte was received. */
export const UART_IER_RDI = 0x01;
/** Interrupt: all was sent. */
export const UART_IER_THRI = 0x02;
/** Interrupt: an error was received. */
export const UART_IER_RLSI = 0x04;
/** Interrupt: the state of the line changed. */
export const UART_IER_MSI = 0x08;
/** Read: why the interrupt was sent. */
export const UART_IIR = 2;
/** No interrupt is pending. */
export const UART_IIR_NO_INT = 0x01;
/** Interrupt: the state of the line changed. */
export const UART_IIR_MSI = 0x00;
/** Interrupt: all was sent. */
export const UART_IIR_THRI = 0x02;
/** Interrupt: a byte was received. */
export const UART_IIR_RDI = 0x04;
/** Interrupt: an error was received. */
export const UART_IIR_RLSI = 0x06;
/** Written: controls the FIFOs. */
export const UART_FCR = 2;
/** The FIFOs are on. */
export const UART_FCR_ENABLE_FIFO = 0x01;
/** Clears what was received. */
export const UART_FCR_CLEAR_RCVR = 0x02;
/** Clears what is to be sent. */
export const UART_FCR_CLEAR_XMIT = 0x04;
/** How a byte is sent. */
export const UART_LCR = 3;
/** The first two registers are the divisor of the clock. */
export const UART_LCR_DLAB = 0x80;
/** The lines that the port drives. */
export const UART_MCR = 4;
/** Data terminal ready. */
export const UART_MCR_DTR = 0x01;
/** Request to send. */
export const UART_MCR_RTS = 0x02;
/** Lets interrupts through. */
export const UART_MCR_OUT2 = 0x08;
/** What is sent is received. */
export const UART_MCR_LOOP = 0x10;
/** The port drives RTS and obeys CTS by itself. */
export const UART_MCR_AFE = 0x20;
/** The state of the port. */
export const UART_LSR = 5;
/** A byte was received. */
export const UART_LSR_DR = 0x01;
/** A byte was lost. */
export const UART_LSR_OE = 0x02;
/** The next byte can be written. */
export const UART_LSR_THRE = 0x20;
/** All was sent. */
export const UART_LSR_TEMT = 0x40;
/** The lines that the other end drives. */
export const UART_MSR = 6;
/** Clear to send has changed. */
export const UART_MSR_DCTS = 0x01;
/** Data set ready has changed. */
export const UART_MSR_DDSR = 0x02;
/** Clear to send. */
export const UART_MSR_CTS = 0x10;
/** Data set ready. */
export const UART_MSR_DSR = 0x20;
/** A carrier is detected. */
export const UART_MSR_DCD = 0x80;
/** Holds what is written. */
export const UART_SCR = 7;
