import type { Fields, Struct } from "../lib/uapi/layout.ts";

/** The argument of a call that is made often, allocated once. */
export interface Argument {
  /** What the kernel gets. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same, to write to. */
  readonly view: DataView;
}

/** Allocates an argument, zeros but for its own length. */
export function allocArgument<F extends Fields>(layout: Struct<F>): Argument {
  const bytes = layout.alloc();
  return { bytes, view: new DataView(bytes.buffer) };
}
