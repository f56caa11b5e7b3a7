import { AT_EMPTY_PATH } from "../../uapi/linux/statx.ts";
import { errnoNumber } from "../errno.ts";
import { LibcFiles } from "./files.ts";
import { cPath, cString, errno, fail, lazily } from "./library.ts";

const tree = lazily({
  mkdir: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  rmdir: {
    parameters: [
      "buffer", // const char *pathname
    ],
    result: "i32",
  },
  rename: {
    parameters: [
      "buffer", // const char *oldpath
      "buffer", // const char *newpath
    ],
    result: "i32",
  },
  unlink: {
    parameters: [
      "buffer", // const char *pathname
    ],
    result: "i32",
  },
  symlink: {
    parameters: [
      "buffer", // const char *target
      "buffer", // const char *linkpath
    ],
    result: "i32",
  },
  fchmod: {
    parameters: [
      "i32", // int fd
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  chmod: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  fchownat: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *pathname
      "i32", // uid_t owner, -1 to leave it
      "i32", // gid_t group, -1 to leave it
      "i32", // int flags
    ],
    result: "i32",
  },
  fsync: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  flock: {
    parameters: [
      "i32", // int fd
      "i32", // int operation
    ],
    result: "i32",
  },
});

const ENOENT = errnoNumber("ENOENT");
const EBADF = errnoNumber("EBADF");

/** Changing the tree of files: names, owners, permissions, locks. */
export class LibcTree extends LibcFiles {
  mkdir(path: string, mode: number): void {
    if (tree().mkdir(cPath(path), mode) < 0) fail(errno[0]!, "mkdir", path);
  }

  rmdir(path: string): void {
    if (tree().rmdir(cPath(path)) < 0) fail(errno[0]!, "rmdir", path);
  }

  rename(from: string, to: string): void {
    const result = tree().rename(cString(from), cString(to));
    if (result < 0) fail(errno[0]!, "rename", to);
  }

  unlink(path: string): void {
    if (tree().unlink(cPath(path)) < 0) fail(errno[0]!, "unlink", path);
  }

  symlink(target: string, path: string): void {
    const result = tree().symlink(cString(target), cString(path));
    if (result < 0) fail(errno[0]!, "symlink", path);
  }

  fchmod(fd: number, mode: number): void {
    if (tree().fchmod(fd, mode) >= 0) return;
    const refusal = errno[0]!;
    if (refusal !== EBADF) fail(refusal, "fchmod");
    // Refused for a descriptor of O_PATH; this link leads to its very file.
    if (tree().chmod(cPath(`/proc/self/fd/${fd}`), mode) >= 0) return;
    const again = errno[0]!;
    fail(again === ENOENT ? EBADF : again, "fchmod");
  }

  fchown(fd: number, uid: number, gid: number): void {
    const result = tree().fchownat(fd, cPath(""), uid, gid, AT_EMPTY_PATH);
    if (result < 0) fail(errno[0]!, "fchown");
  }

  fsync(fd: number): void {
    if (tree().fsync(fd) < 0) fail(errno[0]!, "fsync");
  }

  flock(fd: number, operation: number): void {
    if (tree().flock(fd, operation) < 0) fail(errno[0]!, "flock");
  }
}
