import type { Stepper } from "./stepper.ts";

/**
 * Devices that are stopped together: none may be stopped while another still
 * starts DMA to it. So all go to a state without DMA to other devices before
 * the first is stopped, and back by the same way.
 */
export class SaveGroup {
  readonly #steppers: readonly Stepper[];
  #stopped: Promise<void> | undefined;
  #running: Promise<void> | undefined;

  /** @param steppers The devices. */
  constructor(steppers: readonly Stepper[]) {
    this.#steppers = steppers;
  }

  /** Whether they are stopped, or about to be. */
  get stopping(): boolean {
    return this.#stopped !== undefined;
  }

  /** Stops them all, so that their states can be read. */
  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  /** Has them all run on. */
  run(): Promise<void> {
    return this.#running ??= this.#run();
  }

  async #stop(): Promise<void> {
    if (this.#steppers.length > 1) await this.#each((each) => each.quiesce());
    await this.#each((each) => each.move("stop-copy"));
  }

  async #run(): Promise<void> {
    // They are about to be stopped by another one's stream.
    await this.#stopped?.catch(() => {});
    if (this.#steppers.length > 1) {
      await this.#each((each) => each.move("running-p2p")).catch(() => {});
    }
    await this.#each((each) => each.recover());
  }

  async #each(step: (stepper: Stepper) => Promise<void>): Promise<void> {
    const done = await Promise.allSettled(this.#steppers.map(step));
    const failed = done.find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }
}
