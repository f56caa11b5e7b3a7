import type { OpenFile } from "./file.ts";
import type { Blocking } from "../process/blocking.ts";
import { refuse } from "../process/refusal.ts";

/** What reading and writing a text file does. */
export interface TextAccess {
  /** Returns its text. Without it, the file cannot be read. */
  readonly show?: (() => string) | undefined;
  /** Receives what was written. Without it, the file cannot be written. */
  readonly store?: ((text: string) => Blocking<void>) | undefined;
  /** Waits until its text can be read. Default: it always can. */
  readonly readable?: (() => Blocking<void>) | undefined;
}

/**
 * The most bytes that one write passes to an attribute (`fs/kernfs/file.c`).
 */
const MAX_WRITE = 4096;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** An open text file. A read from its start makes its text anew. */
export class TextFile implements OpenFile {
  readonly linkText: string;
  readonly #access: TextAccess;
  #bytes = new Uint8Array();
  #position = 0;

  /**
   * Opens the file.
   *
   * @param path Its path.
   * @param access What reading and writing it does.
   */
  constructor(path: string, access: TextAccess) {
    this.linkText = path;
    this.#access = access;
  }

  read(into: Uint8Array): number {
    const length = this.pread(into, BigInt(this.#position));
    this.#position += length;
    return length;
  }

  text(): string {
    return this.#access.show?.() ?? refuse("EINVAL");
  }

  pread(into: Uint8Array, offset: bigint): number {
    const { show } = this.#access;
    if (show === undefined) return refuse("EINVAL");
    if (offset === 0n) this.#bytes = ENCODER.encode(show());
    const part = this.#bytes.subarray(
      Number(offset),
      Number(offset) + into.length,
    );
    into.set(part);
    return part.length;
  }

  write(from: Uint8Array): Blocking<number> {
    const { store } = this.#access;
    if (store === undefined) return refuse("EINVAL");
    // The kernel does not pass an empty write to the attribute.
    if (from.length === 0) return 0;
    const accepted = from.subarray(0, MAX_WRITE);
    const done = store(DECODER.decode(accepted));
    return done instanceof Promise
      ? done.then(() => accepted.length)
      : accepted.length;
  }

  readable(): Blocking<void> {
    return this.#access.readable?.();
  }

  sync(): void {}

  close(): void {}
}
