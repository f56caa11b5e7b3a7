/**
 * Operations on files of an ordinary file system, for a real kernel and for the
 * simulated one.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { hasErrno } from "../../lib/kernel/errno.ts";
import { writeAll } from "../../lib/kernel/files.ts";
import type { Kernel } from "../../lib/kernel/kernel.ts";
import {
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  O_APPEND,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
} from "../../lib/uapi/linux/fcntl.ts";
import { chmod, chown } from "../kernels/by_path.ts";
import { answer } from "./answer.ts";

/** An operation on a kernel, in an empty directory. */
export type FileOperation = (kernel: Kernel, dir: string) => void;

/** The operations, by the names of their tests. */
export const FILE_OPERATIONS: Readonly<Record<string, FileOperation>> = {
  "open() creates a file, with its mode, when O_CREAT is given": (
    kernel,
    dir,
  ) => {
    const path = `${dir}/file`;
    assertEquals(answer(() => kernel.open(path, O_RDWR)), "ENOENT");
    const fd = kernel.open(path, O_RDWR | O_CREAT, 0o600);
    assertEquals(write(kernel, fd, "text"), 4);
    kernel.close(fd);
    assertEquals(kernel.readFile(path), "text");
    assertEquals(modeOf(kernel, path), 0o100600);
    const again = kernel.open(path, O_RDWR | O_CREAT, 0o644);
    kernel.close(again);
    assertEquals(kernel.readFile(path), "text");
    assertEquals(modeOf(kernel, path), 0o100600);
    kernel.close(kernel.open(`${dir}/other`, O_WRONLY | O_CREAT));
    assertEquals(modeOf(kernel, `${dir}/other`), 0o100644);
    kernel.close(kernel.open(`${dir}/open`, O_WRONLY | O_CREAT, 0o666));
    assertEquals(modeOf(kernel, `${dir}/open`), 0o100644, "umask");
    const { uid, gid } = kernel.stat(path);
    assertEquals([uid, gid], [0, 0]);
  },

  "open() fails when a file cannot be created": (kernel, dir) => {
    put(kernel, `${dir}/file`, "");
    kernel.symlink("nowhere", `${dir}/link`);
    kernel.symlink("missing/nowhere", `${dir}/dangling`);
    const open = (name: string, flags: number) =>
      answer(() => kernel.open(`${dir}/${name}`, flags | O_WRONLY));
    assertEquals(open("file", O_CREAT | O_EXCL), "EEXIST");
    assertEquals(open("link", O_CREAT | O_EXCL), "EEXIST");
    assertEquals(open("link", O_CREAT | O_NOFOLLOW), "ELOOP");
    assertEquals(open("", O_CREAT), "EISDIR");
    assertEquals(open("none/file", O_CREAT), "ENOENT");
    assertEquals(open("file/file", O_CREAT), "ENOTDIR");
    assertEquals(open("dangling", O_CREAT), "ENOENT");
    assertEquals(open("x".repeat(256), O_CREAT), "ENAMETOOLONG");
    assertEquals(open("file", O_DIRECTORY), "ENOTDIR");
    assertEquals(
      answer(() => kernel.open(dir, O_RDONLY | O_CREAT)),
      "EISDIR",
    );
    // Opening a dangling link creates its target.
    put(kernel, `${dir}/link`, "through");
    assertEquals(kernel.readFile(`${dir}/nowhere`), "through");
  },

  "write() continues, overwrites, or appends": (kernel, dir) => {
    const path = `${dir}/file`;
    put(kernel, path, "0123456789");
    kernel.writeFile(path, "ab");
    assertEquals(kernel.readFile(path), "ab23456789");
    const fd = kernel.open(path, O_RDWR);
    write(kernel, fd, "AB");
    write(kernel, fd, "CD");
    assertEquals(kernel.pwrite(fd, bytes("!"), 12n), 1);
    const read = new Uint8Array(20);
    assertEquals(kernel.read(fd, read), 9);
    assertEquals(kernel.read(fd, read), 0);
    assertEquals(kernel.pread(fd, read, 2n), 11);
    assertEquals(
      new TextDecoder().decode(read.subarray(0, 11)),
      "CD456789\0\0!",
    );
    assertEquals(answer(() => kernel.pread(fd, read, -1n)), "EINVAL");
    assertEquals(kernel.pread(fd, read, 100n), 0);
    const appended = kernel.open(path, O_WRONLY | O_APPEND);
    write(kernel, appended, "+");
    write(kernel, fd, "?");
    write(kernel, appended, "+");
    assertEquals(kernel.pwrite(appended, bytes("="), 0n), 1);
    assertEquals(kernel.readFile(path), "ABCD456789\0\0!?+=");
    kernel.close(appended);
    kernel.close(fd);
    kernel.close(kernel.open(path, O_WRONLY | O_TRUNC));
    assertEquals(kernel.readFile(path), "");
  },

  "read() and write() fail when the file was not opened for it": (
    kernel,
    dir,
  ) => {
    put(kernel, `${dir}/file`, "text");
    const reader = kernel.open(`${dir}/file`, O_RDONLY);
    const writer = kernel.open(`${dir}/file`, O_WRONLY);
    assertEquals(answer(() => write(kernel, reader, "x")), "EBADF");
    assertEquals(answer(() => kernel.pwrite(reader, bytes("x"), 0n)), "EBADF");
    assertEquals(answer(() => kernel.read(writer, bytes("x"))), "EBADF");
    assertEquals(answer(() => kernel.pread(writer, bytes("x"), 0n)), "EBADF");
    kernel.close(reader);
    kernel.close(writer);
  },

  "mkdir() and rmdir() make and remove a directory": (kernel, dir) => {
    const path = `${dir}/a`;
    kernel.mkdir(path, 0o777);
    assertEquals(modeOf(kernel, path), 0o040755, "umask");
    kernel.mkdir(`${path}/b`, 0o700);
    assertEquals(modeOf(kernel, `${path}/b`), 0o040700);
    assertEquals(kernel.readdir(dir), ["a"]);
    put(kernel, `${dir}/file`, "");
    kernel.symlink("a", `${dir}/link`);
    const mkdir = (name: string) =>
      answer(() => kernel.mkdir(`${dir}/${name}`, 0o755));
    assertEquals(mkdir("a"), "EEXIST");
    assertEquals(mkdir("file"), "EEXIST");
    assertEquals(mkdir("link"), "EEXIST");
    assertEquals(mkdir("."), "EEXIST");
    assertEquals(mkdir("none/b"), "ENOENT");
    assertEquals(mkdir("file/b"), "ENOTDIR");
    assertEquals(answer(() => kernel.mkdir("/", 0o755)), "EEXIST");
    const rmdir = (name: string) =>
      answer(() => kernel.rmdir(`${dir}/${name}`));
    assertEquals(rmdir("a"), "ENOTEMPTY");
    assertEquals(rmdir("file"), "ENOTDIR");
    assertEquals(rmdir("link"), "ENOTDIR");
    assertEquals(rmdir("none"), "ENOENT");
    assertEquals(rmdir("a/."), "EINVAL");
    assertEquals(answer(() => kernel.rmdir("/proc")), "EBUSY");
    assertEquals(rmdir("a/b"), undefined);
    assertEquals(rmdir("link/b"), "ENOENT");
    assertEquals(rmdir("a"), undefined);
    assertEquals(kernel.readdir(dir), ["file", "link"]);
  },

  "unlink() removes a name, and keeps the file when it is open": (
    kernel,
    dir,
  ) => {
    put(kernel, `${dir}/file`, "text");
    kernel.symlink("file", `${dir}/link`);
    kernel.mkdir(`${dir}/sub`, 0o755);
    const unlink = (name: string) =>
      answer(() => kernel.unlink(`${dir}/${name}`));
    const fd = kernel.open(`${dir}/file`, O_RDWR);
    assertEquals(unlink("link"), undefined);
    assertEquals(kernel.readdir(dir), ["file", "sub"]);
    assertEquals(unlink("file"), undefined);
    assertEquals(unlink("file"), "ENOENT");
    assertEquals(unlink("sub"), "EISDIR");
    assertEquals(unlink("file/x"), "ENOENT");
    const read = new Uint8Array(8);
    assertEquals(kernel.read(fd, read), 4);
    put(kernel, `${dir}/file`, "another");
    assertEquals(kernel.pread(fd, read, 0n), 4);
    kernel.close(fd);
    assertEquals(kernel.readFile(`${dir}/file`), "another");
  },

  "rename() replaces a file by another": (kernel, dir) => {
    put(kernel, `${dir}/new`, "new");
    put(kernel, `${dir}/old`, "old");
    const fd = kernel.open(`${dir}/old`, O_RDONLY);
    kernel.rename(`${dir}/new`, `${dir}/old`);
    assertEquals(kernel.readdir(dir), ["old"]);
    assertEquals(kernel.readFile(`${dir}/old`), "new");
    const read = new Uint8Array(3);
    kernel.read(fd, read);
    assertEquals(new TextDecoder().decode(read), "old");
    kernel.close(fd);
    kernel.rename(`${dir}/old`, `${dir}/old`);
    kernel.mkdir(`${dir}/sub`, 0o755);
    kernel.rename(`${dir}/old`, `${dir}/sub/moved`);
    assertEquals(kernel.readFile(`${dir}/sub/moved`), "new");
    kernel.rename(`${dir}/sub`, `${dir}/other`);
    assertEquals(kernel.readdir(dir), ["other"]);
    assertEquals(kernel.readdir(`${dir}/other`), ["moved"]);
    kernel.mkdir(`${dir}/empty`, 0o700);
    kernel.rename(`${dir}/other`, `${dir}/empty`);
    assertEquals(kernel.readdir(`${dir}/empty`), ["moved"]);
  },

  "rename() fails when a name cannot be replaced": (kernel, dir) => {
    put(kernel, `${dir}/file`, "");
    kernel.mkdir(`${dir}/full`, 0o755);
    put(kernel, `${dir}/full/file`, "");
    kernel.mkdir(`${dir}/sub`, 0o755);
    const rename = (from: string, to: string) =>
      answer(() => kernel.rename(`${dir}/${from}`, `${dir}/${to}`));
    assertEquals(rename("none", "file"), "ENOENT");
    assertEquals(rename("file", "none/file"), "ENOENT");
    assertEquals(rename("file", "file/file"), "ENOTDIR");
    assertEquals(rename("file", "sub"), "EISDIR");
    assertEquals(rename("sub", "file"), "ENOTDIR");
    assertEquals(rename("sub", "full"), "ENOTEMPTY");
    assertEquals(rename("sub", "sub/sub"), "EINVAL");
    assertEquals(rename("sub", "."), "EBUSY");
    assertEquals(rename("full/file", "full"), "ENOTEMPTY");
    assertEquals(rename("full", "full/none/file"), "ENOENT");
    assertEquals(kernel.readdir(dir), ["file", "full", "sub"]);
  },

  "symlink() creates a link, which is followed": (kernel, dir) => {
    const symlink = (target: string, name: string) =>
      answer(() => kernel.symlink(target, `${dir}/${name}`));
    assertEquals(symlink("sub/file", "link"), undefined);
    assertEquals(kernel.readlink(`${dir}/link`), "sub/file");
    assertEquals(answer(() => kernel.readFile(`${dir}/link`)), "ENOENT");
    assertEquals(symlink(`${dir}/sub`, "absolute"), undefined);
    kernel.mkdir(`${dir}/sub`, 0o755);
    put(kernel, `${dir}/absolute/file`, "text");
    assertEquals(kernel.readFile(`${dir}/link`), "text");
    assertEquals(symlink("x", "link"), "EEXIST");
    assertEquals(symlink("x", "none/link"), "ENOENT");
    assertEquals(symlink("", "empty"), "ENOENT");
    assertEquals(symlink("loop", "loop"), undefined);
    assertEquals(answer(() => kernel.readFile(`${dir}/loop`)), "ELOOP");
  },

  "fchmod() and fchown() change what a link leads to": (kernel, dir) => {
    put(kernel, `${dir}/file`, "");
    kernel.symlink("file", `${dir}/link`);
    chmod(kernel, `${dir}/link`, 0o640);
    chown(kernel, `${dir}/link`, 1000, -1);
    chown(kernel, `${dir}/file`, -1, 1001);
    const { mode, uid, gid } = kernel.stat(`${dir}/file`);
    assertEquals([mode, uid, gid], [0o100640, 1000, 1001]);
    kernel.mkdir(`${dir}/sub`, 0o755);
    chmod(kernel, `${dir}/sub`, 0o1700);
    chown(kernel, `${dir}/sub`, 5, 6);
    const sub = kernel.stat(`${dir}/sub`);
    assertEquals([sub.mode, sub.uid, sub.gid], [0o041700, 5, 6]);
    assertEquals(answer(() => chmod(kernel, `${dir}/none`, 0)), "ENOENT");
    assertEquals(answer(() => chown(kernel, `${dir}/none`, 0, 0)), "ENOENT");
  },

  "fchmod() and fchown() change the file that is open, under any name": (
    kernel,
    dir,
  ) => {
    put(kernel, `${dir}/file`, "");
    const fd = kernel.open(`${dir}/file`, O_PATH | O_NOFOLLOW);
    kernel.rename(`${dir}/file`, `${dir}/moved`);
    put(kernel, `${dir}/file`, "");
    kernel.fchmod(fd, 0o600);
    kernel.fchown(fd, 7, 8);
    const { mode, uid, gid } = kernel.fstat(fd);
    assertEquals([mode, uid, gid], [0o100600, 7, 8]);
    assertEquals(kernel.stat(`${dir}/moved`), kernel.fstat(fd));
    assertEquals(kernel.stat(`${dir}/file`).uid, 0);
    kernel.close(fd);
    assertEquals(answer(() => kernel.fchmod(fd, 0)), "EBADF");
    assertEquals(answer(() => kernel.fchown(fd, 0, 0)), "EBADF");
    assertEquals(answer(() => kernel.fstat(fd)), "EBADF");
  },

  "lstat() and O_PATH see a link itself": (kernel, dir) => {
    kernel.symlink("nowhere", `${dir}/link`);
    assertEquals(kernel.lstat(`${dir}/link`).mode, 0o120777);
    assertEquals(answer(() => kernel.stat(`${dir}/link`)), "ENOENT");
    const fd = kernel.open(`${dir}/link`, O_PATH | O_NOFOLLOW);
    assertEquals(kernel.fstat(fd).mode, 0o120777);
    kernel.close(fd);
  },

  "readFileBytes() gives every byte, whatever it is": (kernel, dir) => {
    const bytes = Uint8Array.from({ length: 10_000 }, (_, i) => i * 7);
    const fd = kernel.open(`${dir}/file`, O_WRONLY | O_CREAT);
    writeAll(kernel, fd, bytes);
    kernel.close(fd);
    assertEquals(kernel.readFileBytes(`${dir}/file`), bytes);
    assertEquals(answer(() => kernel.readFileBytes(`${dir}/none`)), "ENOENT");
  },

  "ftruncate() sets the length of a file": (kernel, dir) => {
    put(kernel, `${dir}/file`, "text");
    const fd = kernel.open(`${dir}/file`, O_WRONLY);
    kernel.ftruncate(fd, 2n);
    assertEquals(kernel.readFile(`${dir}/file`), "te");
    kernel.ftruncate(fd, 3n);
    assertEquals(kernel.readFile(`${dir}/file`), "te\0");
    kernel.close(fd);
  },

  "fsync() accepts files and directories": (kernel, dir) => {
    const fd = kernel.open(`${dir}/file`, O_WRONLY | O_CREAT);
    kernel.fsync(fd);
    kernel.close(fd);
    const directory = kernel.open(dir, O_RDONLY | O_DIRECTORY);
    kernel.fsync(directory);
    kernel.close(directory);
    assertEquals(answer(() => kernel.fsync(fd)), "EBADF");
    const event = kernel.eventfd(0, 0);
    assertEquals(answer(() => kernel.fsync(event)), "EINVAL");
    kernel.close(event);
  },

  "fdinfo has the lock of the descriptor that holds it": (kernel, dir) => {
    const open = () => kernel.open(`${dir}/lock`, O_RDWR | O_CREAT);
    const [a, b] = [open(), open()];
    const lockOf = (fd: number) =>
      /^lock:\t1: FLOCK\s+ADVISORY\s+(\w+)/m.exec(
        kernel.readFile(`/proc/self/fdinfo/${fd}`),
      )?.[1];
    assertEquals([a, b].map(lockOf), [undefined, undefined]);
    kernel.flock(a, LOCK_EX | LOCK_NB);
    assertEquals([a, b].map(lockOf), ["WRITE", undefined]);
    kernel.flock(a, LOCK_SH | LOCK_NB);
    kernel.flock(b, LOCK_SH | LOCK_NB);
    assertEquals([a, b].map(lockOf), [
      "READ",
      "READ",
    ]);
    for (const fd of [a, b]) kernel.close(fd);
  },

  "flock() locks a file for one open descriptor": (kernel, dir) => {
    const path = `${dir}/lock`;
    const open = () => kernel.open(path, O_RDWR | O_CREAT);
    const lock = (fd: number, operation: number) =>
      answer(() => kernel.flock(fd, operation | LOCK_NB));
    const [a, b, c] = [open(), open(), open()];
    assertEquals(lock(a, LOCK_EX), undefined);
    assertEquals(lock(a, LOCK_EX), undefined);
    assertEquals(lock(b, LOCK_EX), "EAGAIN");
    assertEquals(lock(b, LOCK_SH), "EAGAIN");
    assertEquals(lock(b, LOCK_UN), undefined);
    assertEquals(lock(a, LOCK_UN), undefined);
    assertEquals(lock(b, LOCK_SH), undefined);
    assertEquals(lock(c, LOCK_SH), undefined);
    // It loses its lock when the new one cannot be had.
    assertEquals(lock(b, LOCK_EX), "EAGAIN");
    assertEquals(lock(c, LOCK_EX), undefined);
    assertEquals(lock(a, LOCK_EX), "EAGAIN");
    kernel.close(c);
    assertEquals(lock(a, LOCK_EX), undefined);
    assertEquals(lock(b, 0), "EINVAL");
    kernel.unlink(path);
    const other = open();
    assertEquals(lock(other, LOCK_EX), undefined);
    for (const fd of [a, b, other]) kernel.close(fd);
    assertEquals(lock(other, LOCK_EX), "EBADF");
    const [one, two] = [kernel.open(dir, 0), kernel.open(dir, 0)];
    assertEquals(lock(one, LOCK_EX), undefined);
    assertEquals(lock(two, LOCK_SH), "EAGAIN");
    kernel.close(one);
    kernel.close(two);
  },
};

/**
 * Runs an operation in a directory, which is removed afterwards.
 *
 * @param kernel The kernel.
 * @param operation The operation.
 */
export function inDirectory(kernel: Kernel, operation: FileOperation): void {
  const dir = `/tmp/file-operations-${crypto.randomUUID()}`;
  kernel.mkdir(dir, 0o755);
  try {
    operation(kernel, dir);
  } finally {
    remove(kernel, dir);
  }
}

function remove(kernel: Kernel, dir: string): void {
  for (const name of kernel.readdir(dir)) {
    const path = `${dir}/${name}`;
    try {
      kernel.unlink(path);
    } catch (error) {
      if (!hasErrno(error, "EISDIR")) throw error;
      remove(kernel, path);
    }
  }
  kernel.rmdir(dir);
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function write(kernel: Kernel, fd: number, text: string): number {
  return kernel.write(fd, bytes(text));
}

function put(kernel: Kernel, path: string, text: string): void {
  const fd = kernel.open(path, O_WRONLY | O_CREAT);
  write(kernel, fd, text);
  kernel.close(fd);
}

function modeOf(kernel: Kernel, path: string): number {
  return kernel.stat(path).mode;
}
