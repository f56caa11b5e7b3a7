import { VfioError } from "../../errors.ts";
import { Deadline, type WaitOptions } from "../../host/driver/deadline.ts";
import { hex } from "../../hex.ts";
import { assertValue, type Registers } from "./registers.ts";

/** How often a register is read without a pause. */
const SPINS = 64;
/** The longest pause between two reads, in milliseconds. */
const LONGEST_PAUSE = 16;
const ALL_ONES = 0xffff_ffff;

/** What is waited for: `(value & mask) === expected`. */
export interface Awaited32 {
  /** Where the register is, in bytes. */
  readonly offset: number;
  /** The bits that count. */
  readonly mask: number;
  /** What they are to be. */
  readonly value: number;
}

/** The device of registers. */
export interface Present {
  /** Its name, for errors. */
  readonly name: string;
  /** Returns whether it still answers. */
  isPresent(): boolean;
}

/**
 * Waits until bits of a register have a value. Reads it a few times at once,
 * then after pauses that grow from 1 to 16 ms, during which the event loop goes
 * on.
 *
 * @param registers The registers.
 * @param device Their device.
 * @param awaited The register, and what is waited for.
 * @param options The time limit and the signal.
 * @returns The value of the register, with all its bits.
 */
export async function until32(
  registers: Registers,
  device: Present,
  { offset, mask, value }: Awaited32,
  options: WaitOptions | undefined,
): Promise<number> {
  assertValue(mask, 4);
  assertValue(value, 4);
  if ((value & ~mask) !== 0) {
    throw new RangeError(
      `Cannot wait for ${hex(value)}: expected bits of the mask ${hex(mask)}`,
    );
  }
  const deadline = new Deadline(options);
  let read = 0;
  const late = () => timedOut(device.name, offset, read, deadline.timeout);
  let spins = SPINS;
  for (let pause = 1;;) {
    read = registers.read32(offset);
    if (read === ALL_ONES) {
      // A device that is gone answers so, whatever the register.
      if (!device.isPresent()) throw lost(device.name);
      spins = 0;
    }
    if ((read & mask) >>> 0 === value) return read;
    if (spins-- > 0) continue;
    if (deadline.left === 0) throw late();
    await deadline.pause(Math.min(pause, deadline.left), late);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }
}

function timedOut(
  device: string,
  offset: number,
  read: number,
  timeout: number,
): VfioError {
  return new VfioError("TIMED_OUT", {
    device,
    problem: `its register at ${hex(offset)} still has ${hex(read)} after ` +
      `${timeout} ms`,
    hint: "reset the device, or allow more time",
  });
}

function lost(device: string): VfioError {
  return new VfioError("DEVICE_LOST", {
    device,
    problem: "it no longer answers: every register reads as ones",
    hint: "detach it; it was removed, lost its power or its link, or failed",
  });
}
