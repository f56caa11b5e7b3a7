/**
 * What the journal has of a taken device.
 *
 * @module
 */

import { type ChangeEvent, logChange } from "../journal/change_log.ts";
import { Journal, nextJournalId } from "../journal/journal.ts";
import type { HostDevice } from "../device.ts";
import type { Deadline } from "../driver/deadline.ts";
import type { DriverState } from "../driver/driver.ts";
import { type DriverStep, isDriverStep } from "../driver/step.ts";

/** The journal of one taken device. The caller holds the lock. */
export class TakeRecord {
  readonly #device: HostDevice;
  readonly #driver: string;
  readonly #journal: Journal<DriverStep>;
  readonly #number: number;
  readonly #hold: Disposable;
  #isMade = false;

  private constructor(
    device: HostDevice,
    driver: string,
    journal: Journal<DriverStep>,
    number: number,
    hold: Disposable,
  ) {
    this.#device = device;
    this.#driver = driver;
    this.#journal = journal;
    this.#number = number;
    this.#hold = hold;
  }

  /**
   * Records that a device is about to be taken, and that this process has it.
   *
   * @param device The device.
   * @param driver The driver that gets it.
   * @param before How it is bound.
   * @param deadline How long that may take.
   * @throws {VfioError} `PERMISSION_DENIED` when this user may not write the
   * journal, `LOCKED`, or `KERNEL`. Nothing is recorded then.
   */
  static async begin(
    device: HostDevice,
    driver: string,
    before: DriverState,
    deadline: Deadline,
  ): Promise<TakeRecord> {
    const { name, bus, host: { kernel } } = device;
    const journal = journalOf(device, nextJournalId(kernel, "take"));
    try {
      const number = journal.begin({
        kind: "driver",
        device: name,
        ...bus === "pci" ? {} : { bus },
        driver,
        why: `${before.driver ?? "no driver"} has it`,
      }, before);
      const hold = await journal.hold(deadline);
      return new TakeRecord(device, driver, journal, number, hold);
    } catch (error) {
      removeIfPossible(journal);
      throw error;
    }
  }

  /** Records that it was taken. */
  made(): void {
    this.#journal.made(this.#number, undefined);
    this.#isMade = true;
    this.#log("applied");
  }

  #log(event: ChangeEvent): void {
    const { name, host: { kernel } } = this.#device;
    const change = `${name}: driver ${this.#driver}`;
    logChange(kernel, event, this.#journal, [change]);
  }

  /** Removes the record: the device is back. */
  drop(): void {
    this.#log(this.#isMade ? "undone" : "failed");
    const { id, head: { uuid } } = this.#journal;
    try {
      // Somebody may have removed the file, and its name may be that of another
      // journal now.
      const present = journalOf(this.#device, id);
      if (present.head.uuid === uuid) present.remove();
    } catch {
      // The next restore removes it, and has nothing left to undo.
    }
    this.#hold[Symbol.dispose]();
  }

  /** Leaves it to `restore`: this process cannot give the device back. */
  abandon(): void {
    this.#hold[Symbol.dispose]();
  }
}

function journalOf(device: HostDevice, id: string): Journal<DriverStep> {
  return new Journal(device.host.kernel, { id, isStep: isDriverStep });
}

function removeIfPossible(journal: Journal<DriverStep>): void {
  try {
    journal.remove();
  } catch {
    // The next restore removes it: nothing was changed.
  }
}
