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
  madvise: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
      "i32", // int advice
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
} as const satisfies Deno.ForeignLibraryInterface;

/** Descriptors and memory that no path leads to. */
export const ANONYMOUS = {
  fcntl: {
    parameters: [
      "i32", // int fd
      "i32", // int cmd
      "i32", // int arg, the variadic argument
    ],
    result: "i32",
  },
  memfd_create: {
    parameters: [
      "buffer", // const char *name
      "u32", // unsigned int flags
    ],
    result: "i32",
  },
  ftruncate: {
    parameters: [
      "i32", // int fd
      "i64", // off_t length
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

const MESSAGE = {
  parameters: [
    "i32", // int sockfd
    "buffer", // struct msghdr *msg
    "i32", // int flags
  ],
  result: "isize",
} as const satisfies Deno.ForeignFunction;

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
  socketpair: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
      "buffer", // int sv[2]
    ],
    result: "i32",
  },
  sendmsg: MESSAGE,
  recvmsg: MESSAGE,
} as const satisfies Deno.ForeignLibraryInterface;

/** What {@linkcode loadMachineCode} needs. */
export const CODE = {
  mmap: DEVICES.mmap,
  mprotect: {
    parameters: [
      "pointer", // void *addr
      "usize", // size_t len
      "i32", // int prot
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Calls that a child process makes. */
export const CHILD = {
  mmap: DEVICES.mmap,
  munmap: DEVICES.munmap,
  sched_yield: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Waiting for many descriptors on one thread. */
export const WATCH = {
  epoll_create1: {
    parameters: [
      "i32", // int flags
    ],
    result: "i32",
  },
  epoll_ctl: {
    parameters: [
      "i32", // int epfd
      "i32", // int op
      "i32", // int fd
      "buffer", // struct epoll_event *event
    ],
    result: "i32",
  },
  pthread_create: {
    parameters: [
      "buffer", // pthread_t *thread
      "pointer", // const pthread_attr_t *attr
      "pointer", // void *(*start_routine)(void *)
      "buffer", // void *arg
    ],
    result: "i32",
  },
  pthread_join: {
    parameters: [
      "u64", // pthread_t thread
      "pointer", // void **retval
    ],
    result: "i32",
    nonblocking: true,
  },
  eventfd: DEVICES.eventfd,
  eventfd_read: {
    parameters: [
      "i32", // int fd
      "buffer", // eventfd_t *value
    ],
    result: "i32",
  },
  eventfd_write: {
    parameters: [
      "i32", // int fd
      "u64", // eventfd_t value
    ],
    result: "i32",
  },
  close: FILES.close,
} as const satisfies Deno.ForeignLibraryInterface;

/** What is asked of the process itself. */
export const PROCESS = {
  __errno_location: { parameters: [], result: "pointer" },
  getpagesize: { parameters: [], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;
