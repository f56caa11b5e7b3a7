/**
 * Streams of the bytes in files, and of standard input and output, by libc: a
 * script needs no further permission for them.
 *
 * @module
 */

import { hasErrno } from "../../../lib/kernel/errno.ts";
import { Fd } from "../../../lib/kernel/fd.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_WRONLY,
} from "../../../lib/uapi/linux/fcntl.ts";
import { UsageError } from "../command.ts";

const STDIN = 0;
const STDOUT = 1;
/** Bytes that are read at once. */
const CHUNK = 2 ** 20;
/** A device's state is nobody else's. */
const MODE = 0o600;

/**
 * Opens a file to be read.
 *
 * @param kernel Reads it.
 * @param path The file; `-` is standard input.
 * @throws {UsageError} When there is no such file.
 */
export function readableFile(
  kernel: Kernel,
  path: string,
): ReadableStream<Uint8Array> {
  const file = path === "-" ? undefined : open(kernel, path, O_RDONLY);
  const fd = file?.number ?? STDIN;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const into = new Uint8Array(CHUNK);
      const length = await kernel.readAsync(fd, into);
      if (length > 0) return controller.enqueue(into.subarray(0, length));
      file?.close();
      controller.close();
    },
    cancel: () => file?.close(),
  }, { highWaterMark: 0 });
}

/**
 * Makes a file to be written. Where that is given up, it is removed.
 *
 * @param kernel Writes it.
 * @param path The file; `-` is standard output.
 * @throws {UsageError} When there is such a file, or it cannot be there.
 */
export function writableFile(
  kernel: Kernel,
  path: string,
): WritableStream<Uint8Array> {
  const file = path === "-"
    ? undefined
    : open(kernel, path, O_WRONLY | O_CREAT | O_EXCL);
  const fd = file?.number ?? STDOUT;
  return new WritableStream<Uint8Array>({
    async write(chunk) {
      for (let done = 0; done < chunk.length;) {
        done += await kernel.writeAsync(fd, chunk.subarray(done));
      }
    },
    close() {
      if (file === undefined) return;
      kernel.fsync(fd);
      file.close();
    },
    abort() {
      if (file === undefined) return;
      file.close();
      kernel.unlink(path);
    },
  });
}

function open(kernel: Kernel, path: string, flags: number): Fd {
  try {
    return Fd.open(kernel, path, flags, MODE);
  } catch (error) {
    if (hasErrno(error, "EEXIST")) {
      throw new UsageError(
        `${path} is there already`,
        "name another file, or remove that one",
      );
    }
    if (hasErrno(error, "ENOENT", "ENOTDIR")) {
      throw new UsageError(`there is no file ${path}`);
    }
    if (hasErrno(error, "EISDIR")) throw new UsageError(`${path} is a folder`);
    throw error;
  }
}
