/**
 * `spawn.h` of libc, the same on x86-64 and arm64: how a program is run.
 *
 * @module
 */

/** Bytes of a `posix_spawn_file_actions_t`. */
export const FILE_ACTIONS_BYTES = 80;
/** Bytes of a `posix_spawnattr_t`. */
export const SPAWN_ATTRIBUTES_BYTES = 336;
/** Bytes of a `sigset_t` of libc. */
export const SIGNAL_SET_BYTES = 128;
/** The program has a process group of its own. */
export const POSIX_SPAWN_SETPGROUP = 0x02;
/** The signals of a set have their default effect. */
export const POSIX_SPAWN_SETSIGDEF = 0x04;
/** The signals of a set are blocked. */
export const POSIX_SPAWN_SETSIGMASK = 0x08;

/** Ends a process, which may end in order. */
export const SIGTERM = 15;
