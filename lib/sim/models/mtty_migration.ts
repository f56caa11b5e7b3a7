/**
 * Saves and loads the serial ports of `samples/vfio-mdev/mtty.c`.
 *
 * @module
 */

import { struct, u32, u64 } from "../../uapi/layout.ts";
import {
  VFIO_MIGRATION_P2P,
  VFIO_MIGRATION_PRE_COPY,
  VFIO_MIGRATION_STOP_COPY,
} from "../../uapi/vfio/migration.ts";
import { refuse } from "../process/refusal.ts";
import type {
  LoadedData,
  ModelLog,
  ModelMigration,
  SavedData,
} from "./migration.ts";
import { PORT_STATE_SIZE, type SerialPort } from "./serial_port.ts";

/** `struct mtty_data` before its ports. */
const header = struct("mtty_data", {
  magic: u64,
  major_ver: u32,
  minor_ver: u32,
  nr_ports: u32,
  flags: u32,
});

const MAGIC = 0x7e9d_0989_8c3e_2c4en;

/** The sample's log: it takes all arguments, and logs nothing. */
export const MTTY_LOG: ModelLog = {
  works: false,
  pageSize: 0,
  startedTwice: undefined,
};

/**
 * Makes the sample's migration. It has no data while it runs but its header,
 * and a device that was closed half way stays as it was.
 *
 * @param ports The ports.
 */
export function mttyMigration(ports: readonly SerialPort[]): ModelMigration {
  return {
    flags: VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
      VFIO_MIGRATION_PRE_COPY,
    noData: 0,
    runsWhenOpened: false,
    size: header.size + ports.length * PORT_STATE_SIZE,
    save: () => new SavedMtty(ports),
    load: () => new LoadedMtty(ports),
  };
}

class SavedMtty implements SavedData {
  readonly dirty = 0;
  readonly #ports: readonly SerialPort[];
  #left: readonly number[];

  constructor(ports: readonly SerialPort[]) {
    this.#ports = ports;
    this.#left = [...header.alloc({
      magic: MAGIC,
      major_ver: 1,
      nr_ports: ports.length,
    })];
  }

  get initial(): number {
    return this.#left.length;
  }

  takeReinitialized(): boolean {
    return false;
  }

  read(into: Uint8Array): number {
    const bytes = this.#left.slice(0, into.length);
    into.set(bytes);
    this.#left = this.#left.slice(bytes.length);
    return bytes.length;
  }

  stop(): void {
    const ports = this.#ports.flatMap((port) => [...port.save()]);
    this.#left = [...this.#left, ...ports];
  }

  end(): void {}
}

class LoadedMtty implements LoadedData {
  readonly #ports: readonly SerialPort[];
  readonly #data: Uint8Array;
  #filled = 0;

  constructor(ports: readonly SerialPort[]) {
    this.#ports = ports;
    this.#data = new Uint8Array(header.size + ports.length * PORT_STATE_SIZE);
  }

  write(from: Uint8Array): number {
    if (this.#filled + from.length > this.#data.length) refuse("ENOMEM");
    const before = this.#filled;
    this.#data.set(from, before);
    this.#filled += from.length;
    const complete = before < header.size && this.#filled >= header.size;
    if (complete && !this.#isOfThisKind) refuse("EFAULT");
    return from.length;
  }

  finish(): void {
    if (this.#filled < this.#data.length) refuse("EINVAL");
    for (const [i, port] of this.#ports.entries()) {
      const at = header.size + i * PORT_STATE_SIZE;
      port.load(this.#data.subarray(at, at + PORT_STATE_SIZE));
    }
  }

  get #isOfThisKind(): boolean {
    const { magic, major_ver, minor_ver, nr_ports, flags } = header
      .decode(this.#data);
    return magic === MAGIC && major_ver === 1 && minor_ver === 0 &&
      nr_ports === this.#ports.length && flags === 0;
  }
}
