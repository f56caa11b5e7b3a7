/**
 * `sys/socket.h`, the same on x86-64 and arm64.
 *
 * @module
 */

export const AF_NETLINK = 16;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
