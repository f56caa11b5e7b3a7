import { VfioError } from "../../errors.ts";
import { type PrecopyInfo, precopyInfo, readData } from "./progress.ts";
import type { SaveGroup } from "./save_group.ts";
import type { Stepper } from "./stepper.ts";

/** How a device's state is saved. */
export interface SaveOptions {
  /**
   * Whether the device runs on while most of its state is read, and is stopped
   * for the rest only.
   *
   * @default {false}
   */
  readonly precopy?: boolean;
  /**
   * Says when the device is to be stopped, before each read while it runs.
   * Default: when there is no initial data left, and less than a chunk of other
   * data.
   */
  readonly stopWhen?: (info: PrecopyInfo) => boolean;
  /** Called after each chunk, and when the device is stopped. */
  readonly onProgress?: (progress: SaveProgress) => void;
  /** The most bytes of a chunk. Default: 1 MiB. */
  readonly chunkSize?: number;
  /** Gives the save up. The device runs on then. */
  readonly signal?: AbortSignal;
}

/** How far a save is. */
export interface SaveProgress {
  /** Bytes that were read. */
  readonly bytes: number;
  /** Whether the device is stopped. */
  readonly stopped: boolean;
  /** What is left, estimated, while the device runs. */
  readonly left: PrecopyInfo | undefined;
}

/** The default size of a chunk, in bytes. */
const CHUNK = 2 ** 20;
/** How long a device is left alone that has nothing for now, in ms. */
const PAUSE_MS = 5;

/** Saves the state of one device, chunk by chunk. */
export class Save {
  readonly #stepper: Stepper;
  readonly #group: SaveGroup;
  readonly #options: SaveOptions;
  readonly #chunkSize: number;
  #transfer: Disposable | undefined;
  #bytes = 0;
  #left: PrecopyInfo | undefined;
  #stopped = false;
  #abort = () => {};

  /**
   * @param stepper The device.
   * @param group The devices that are stopped with it.
   * @param options How it is saved.
   */
  constructor(stepper: Stepper, group: SaveGroup, options: SaveOptions) {
    const { chunkSize = CHUNK } = options;
    if (!Number.isSafeInteger(chunkSize) || chunkSize <= 0) {
      throw new RangeError(
        `Cannot save chunks of ${chunkSize} bytes: expected a positive whole ` +
          "number",
      );
    }
    this.#stepper = stepper;
    this.#group = group;
    this.#options = options;
    this.#chunkSize = chunkSize;
  }

  /** The chunks. Nothing is done before the first one is asked for. */
  stream(): ReadableStream<Uint8Array> {
    const { signal } = this.#options;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#abort = () => {
          controller.error(signal!.reason);
          this.#giveUp().catch(() => {});
        };
      },
      pull: async (controller) => {
        try {
          const chunk = await this.#next();
          if (chunk === undefined) controller.close();
          else controller.enqueue(chunk);
        } catch (error) {
          const run = () => this.#giveUp();
          throw await this.#stepper.giveUp(error, "save its state", run);
        }
      },
      cancel: () => this.#giveUp(),
    }, { highWaterMark: 0 });
  }

  /** Returns the next chunk; `undefined` after the last one. */
  async #next(): Promise<Uint8Array | undefined> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    if (this.#transfer === undefined) await this.#begin();
    const into = new Uint8Array(this.#chunkSize);
    for (;;) {
      this.#stopped ||= this.#group.stopping;
      if (!this.#stopped) await this.#stopIfDue();
      if (this.#stopped) await this.#group.stop();
      const stopped = this.#stopped;
      const length = await readData(this.#stepper, into, signal);
      if (length > 0) return this.#chunk(into, length);
      if (stopped) {
        await this.#end();
        return undefined;
      }
      await this.#pause();
    }
  }

  async #begin(): Promise<void> {
    this.#transfer = this.#stepper.transfer();
    this.#options.signal?.addEventListener("abort", this.#abort);
    // A device that is stopped would run again.
    const precopy = this.#options.precopy && !this.#group.stopping &&
      await this.#stepper.state() !== "stop";
    if (precopy) await this.#stepper.move("pre-copy");
    else this.#stopped = true;
  }

  async #stopIfDue(): Promise<void> {
    const { stopWhen = this.#isShort } = this.#options;
    try {
      this.#left = await precopyInfo(this.#stepper);
    } catch (error) {
      // Another device's stream may have stopped this one meanwhile.
      if (!this.#group.stopping) throw error;
    }
    this.#stopped = this.#group.stopping || stopWhen(this.#left!);
    if (this.#stopped) this.#tell();
  }

  readonly #isShort = ({ initialBytes, dirtyBytes }: PrecopyInfo): boolean =>
    initialBytes === 0 && dirtyBytes < this.#chunkSize;

  #chunk(into: Uint8Array, length: number): Uint8Array {
    this.#bytes += length;
    this.#tell();
    // A chunk does not keep a buffer that is much longer.
    return length < into.length / 2
      ? into.slice(0, length)
      : into.subarray(0, length);
  }

  #tell(): void {
    this.#options.onProgress?.({
      bytes: this.#bytes,
      stopped: this.#stopped,
      left: this.#stopped ? undefined : this.#left,
    });
  }

  /** Waits a little, unless the save is given up. */
  async #pause(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    this.#options.signal?.throwIfAborted();
  }

  async #end(): Promise<void> {
    await this.#stepper.move("stop");
    this.#release();
  }

  /** Has all devices of the group run on. */
  async #giveUp(): Promise<void> {
    if (this.#transfer === undefined) return;
    try {
      await this.#group.run();
    } finally {
      this.#release();
    }
  }

  #release(): void {
    this.#options.signal?.removeEventListener("abort", this.#abort);
    this.#transfer?.[Symbol.dispose]();
    this.#transfer = undefined;
  }
}

/** Explains that a device cannot be saved while it runs. */
export function noPrecopy(device: string): VfioError {
  return new VfioError("NOT_SUPPORTED", {
    device,
    problem: "its driver cannot save it while it runs",
    hint: "save it without `precopy`: it is stopped first",
  });
}
