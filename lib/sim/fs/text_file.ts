import type { OpenFile } from "./file.ts";
import type { Blocking } from "../process/blocking.ts";
import { refuse } from "../process/refusal.ts";

/** What a file of text does when it is read and written. */
export interface TextAccess {
  /** Gives its text; a file without it cannot be read. */
  readonly show?: (() => string) | undefined;
  /** Takes what was written; a file without it cannot be written. */
  readonly store?: ((text: string) => Blocking<void>) | undefined;
  /** Ends when its text can be given. Default: at once. */
  readonly readable?: (() => Blocking<void>) | undefined;
}

/** The most that reaches an attribute in one write (`fs/kernfs/file.c`). */
const MAX_WRITE = 4096;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** An open file of text, whose text is made when it is read from its start. */
export class TextFile implements OpenFile {
  readonly shown: string;
  readonly #access: TextAccess;
  #bytes = new Uint8Array();
  #position = 0;

  /**
   * Opens it.
   *
   * @param path Its path.
   * @param access What reading and writing it does.
   */
  constructor(path: string, access: TextAccess) {
    this.shown = path;
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
    // The kernel does not ask the attribute about an empty write.
    if (from.length === 0) return 0;
    const taken = from.subarray(0, MAX_WRITE);
    const done = store(DECODER.decode(taken));
    return done instanceof Promise
      ? done.then(() => taken.length)
      : taken.length;
  }

  readable(): Blocking<void> {
    return this.#access.readable?.();
  }

  sync(): void {}

  close(): void {}
}
