/**
 * libc on this machine, and descriptors of one test.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { KernelError } from "../../lib/kernel/errno.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { O_NONBLOCK, O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
import { loadAll } from "./load_all.ts";

export const kernel = new LibcKernel();
await loadAll(kernel);

/** Makes a directory for one test. */
export function temporary() {
  const path = Deno.makeTempDirSync();
  return {
    path,
    [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }),
  };
}

/** Opens a descriptor for one test. */
export function opened(path: string, flags: number) {
  const fd = kernel.open(path, flags);
  return { fd, [Symbol.dispose]: () => kernel.close(fd) };
}

/** A named pipe, open at both ends. */
export async function pipe(directory: string) {
  const path = join(directory, "pipe");
  const { success } = await new Deno.Command("mkfifo", { args: [path] })
    .output();
  assert(success);
  return opened(path, O_RDWR | O_NONBLOCK);
}

export function errno(code: string, step: () => unknown): KernelError {
  const error = assertThrows(step, KernelError);
  assertEquals(error.code, code);
  return error;
}
