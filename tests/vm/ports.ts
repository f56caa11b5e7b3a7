/**
 * Streams from a guest to the host, over virtio serial ports: quick, apart from
 * each other and from the kernel's console.
 *
 * @module
 */
import { join } from "@std/path";

/** Reads what comes through a port, to the end. */
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
          // close() before QEMU connected: it ended at once
          if (!(error instanceof Deno.errors.BadResource)) throw error;
        },
      ).catch((error) => {
        this.#failure ??= error;
        this.#onFailure();
      }),
    );
  }

  /** When QEMU has ended: waits until all it sent is read. */
  async close(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    await Promise.all(this.#readers);
    if (this.#failure !== undefined) throw this.#failure;
  }
}
