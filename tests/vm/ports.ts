/**
 * Streams from a guest to the host, over virtio serial ports. They are quick,
 * and separate from each other and from the kernel's console.
 *
 * @module
 */
import { join } from "@std/path";

/** Reads a port to its end. */
export type StreamReader = (
  stream: ReadableStream<Uint8Array>,
) => Promise<void>;

/** The ports of one run of QEMU. */
export class Ports {
  #dir: string;
  #onFailure: () => void;
  #failure: unknown;
  #listeners: Deno.Listener[] = [];
  #readers: Promise<void>[] = [];

  /** The QEMU arguments that make the ports. */
  readonly args: string[] = [];

  /**
   * @param dir A directory for the sockets.
   * @param onFailure Called when a reader fails; `close()` then throws why.
   */
  constructor(dir: string, onFailure: () => void) {
    this.#dir = dir;
    this.#onFailure = onFailure;
  }

  /**
   * Adds a port.
   *
   * @param name Its name, by which the guest finds it.
   * @param read Reads what the guest writes.
   */
  open(name: string, read: StreamReader): void {
    const path = join(this.#dir, `${name}.sock`);
    const listener = Deno.listen({ transport: "unix", path });
    this.#listeners.push(listener);
    this.args.push(
      ...["-chardev", `socket,id=${name},path=${path}`],
      "-device",
      // port 0 is the console's
      `virtserialport,chardev=${name},name=${name},nr=${this.#listeners.length}`,
    );
    this.#readers.push(
      listener.accept().then(
        (connection) => read(connection.readable),
        (error) => {
          // closed before QEMU connected: QEMU ended at once
          if (!(error instanceof Deno.errors.BadResource)) throw error;
        },
      ).catch((error) => {
        this.#failure ??= error;
        this.#onFailure();
      }),
    );
  }

  /** Waits until everything is read. QEMU must have ended. */
  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await Promise.all(this.#readers);
    if (this.#failure !== undefined) throw this.#failure;
  }
}
