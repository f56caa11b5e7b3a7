/**
 * The functions of libc that this library calls, by what needs them together.
 *
 * A C `unsigned long` or `size_t` is declared as such and given a bigint: the
 * optimised call truncates what the first calls refuse.
 *
 * @module
 */

/** Opening, reading and writing files, and what is known of them. */
export const FILES = {
  open: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // mode_t mode, the variadic argument
    ],
    result: "i32",
  },
  close: {
    parameters: [
      "i32", // int fd
    ],
    result: "i32",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
    ],
    result: "isize",
  },
  readlink: {
    parameters: [
      "buffer", // const char *pathname
      "buffer", // char *buf
      "usize", // size_t bufsiz
    ],
    result: "isize",
  },
  getdents64: {
    parameters: [
      "i32", // int fd
      "buffer", // void *dirp
      "usize", // size_t count
    ],
    result: "isize",
  },
  statx: {
    parameters: [
      "i32", // int dirfd
      "buffer", // const char *pathname
      "i32", // int flags
      "u32", // unsigned int mask
      "buffer", // struct statx *statxbuf
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** What is done with devices and memory. */
export const DEVICES = {
  ioctl: {
    parameters: [
      "i32", // int fd
      "u32", // unsigned long request, all of VFIO's are below 2^32
      "buffer", // void *argp
    ],
    result: "i32",
  },
  // Without a third argument the kernel reads whatever its register holds.
  ioctl_value: {
    name: "ioctl",
    parameters: [
      "i32", // int fd
      "u32", // unsigned long request
      "usize", // unsigned long arg
    ],
    result: "i32",
  },
  pread: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
  pwrite: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "usize", // size_t count
      "i64", // off_t offset
    ],
    result: "isize",
  },
  mmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "pointer",
  },
  munmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
    ],
    result: "i32",
  },
  eventfd: {
    parameters: [
      "u32", // unsigned int initval
      "i32", // int flags
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Changing the tree of files. */
export const TREE = {
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
  chmod: {
    parameters: [
      "buffer", // const char *pathname
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  chown: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // uid_t owner, -1 to leave it
      "i32", // gid_t group, -1 to leave it
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
} as const satisfies Deno.ForeignLibraryInterface;

/** Sockets, which are read and written like files. */
export const SOCKETS = {
  socket: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

const POLL = {
  parameters: [
    "buffer", // struct pollfd *fds
    "usize", // nfds_t nfds
    "i32", // int timeout, in milliseconds
  ],
  result: "i32",
} as const satisfies Deno.ForeignFunction;

/** Calls that are made on a thread of their own. */
export const BLOCKING = {
  ioctl: { ...DEVICES.ioctl, nonblocking: true },
  ioctl_value: { ...DEVICES.ioctl_value, nonblocking: true },
  close: { ...FILES.close, nonblocking: true },
  read: { ...FILES.read, nonblocking: true },
  write: { ...FILES.write, nonblocking: true },
  poll: { ...POLL, nonblocking: true },
  poll_now: { name: "poll", ...POLL },
} as const satisfies Deno.ForeignLibraryInterface;

const WAITPID = {
  parameters: [
    "i32", // pid_t pid
    "buffer", // int *wstatus
    "i32", // int options
  ],
  result: "i32",
} as const satisfies Deno.ForeignFunction;

/** Starting a process, and waiting until it has ended; what it works on. */
export const CHILD = {
  close: FILES.close,
  pread: DEVICES.pread,
  pwrite: DEVICES.pwrite,
  memfd_create: {
    parameters: [
      "buffer", // const char *name
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  posix_spawnp: {
    parameters: [
      "buffer", // pid_t *pid
      "buffer", // const char *file
      "buffer", // const posix_spawn_file_actions_t *file_actions
      "buffer", // const posix_spawnattr_t *attrp
      "buffer", // char *const argv[]
      "buffer", // char *const envp[]
    ],
    result: "i32",
  },
  posix_spawnattr_init: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
    ],
    result: "i32",
  },
  posix_spawnattr_setflags: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
      "i16", // short flags
    ],
    result: "i32",
  },
  posix_spawnattr_destroy: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
    ],
    result: "i32",
  },
  posix_spawn_file_actions_init: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
    ],
    result: "i32",
  },
  posix_spawn_file_actions_adddup2: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int fildes
      "i32", // int newfildes
    ],
    result: "i32",
  },
  posix_spawn_file_actions_addopen: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int fildes
      "buffer", // const char *path
      "i32", // int oflag
      "u32", // mode_t mode
    ],
    result: "i32",
  },
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int from
    ],
    result: "i32",
    optional: true,
  },
  posix_spawn_file_actions_destroy: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
    ],
    result: "i32",
  },
  waitpid: { ...WAITPID, nonblocking: true },
  waitpid_now: { name: "waitpid", ...WAITPID },
} as const satisfies Deno.ForeignLibraryInterface;

/** What is asked of the process itself. */
export const PROCESS = {
  __errno_location: { parameters: [], result: "pointer" },
  getpagesize: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
