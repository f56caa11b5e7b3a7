/**
 * The errors of the network card's driver.
 *
 * @module
 */
import { VfioError } from "../../mod.ts";

/** What went wrong. */
export type NicErrorCode =
  /** The card did what makes no sense. */
  | "PROTOCOL"
  /** The driver does not know the card. */
  | "UNSUPPORTED"
  /** The card was stopped. */
  | "CLOSED";

/** A failure of a network card. */
export class NicError extends Error {
  /** What went wrong. */
  readonly code: NicErrorCode;
  /** The card's address. */
  readonly device: string;

  /**
   * Makes an error.
   *
   * @param code What went wrong.
   * @param device The card's address.
   * @param problem It in words.
   */
  constructor(code: NicErrorCode, device: string, problem: string) {
    super(`nic ${device}: ${problem}`);
    this.name = "NicError";
    this.code = code;
    this.device = device;
  }
}

/**
 * The error of a card that is gone: pulled out, without power, or dead. Its
 * registers read as ones.
 */
export function deviceLost(device: string): VfioError {
  return new VfioError("DEVICE_LOST", {
    device,
    problem: "it no longer answers: its registers read as ones",
    hint: "detach it; it was removed, lost its power or its link, or failed",
  });
}
