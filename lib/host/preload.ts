/**
 * Every module that `host.ts` loads, in one list.
 *
 * Where a module is imported first, Deno looks that line up in the source map of
 * the importing module. It reads and decodes the map for that, which takes as
 * long as loading a module; the map of this one is small. Over a network, all
 * are fetched at once. A test says when one is missing.
 *
 * @module
 */

import "../errors.ts";
import "../hex.ts";
import "./device.ts";
import "./driver/vfio_driver.ts";
import "./path.ts";
import "./pci/endpoint.ts";
import "./pci/event.ts";
import "./pci/function.ts";
import "./pci/ids.ts";
import "./pci/topology/made_domain.ts";
import "./sysfs.ts";
import "../kernel/abort.ts";
import "../kernel/errno.ts";
import "../kernel/event_counts.ts";
import "../kernel/intercept.ts";
import "../kernel/libc.ts";
import "../kernel/libc/blocking.ts";
import "../kernel/libc/child.ts";
import "../kernel/libc/code.ts";
import "../kernel/libc/files.ts";
import "../kernel/libc/library.ts";
import "../kernel/libc/memory.ts";
import "../kernel/libc/sockets.ts";
import "../kernel/libc/tree.ts";
import "../kernel/libc/watch.ts";
import "../kernel/local.ts";
import "../kernel/trace.ts";
import "../pci/address.ts";
import "../pci/class_names.ts";
import "../pci/ids.ts";
import "../printable.ts";
import "../uapi/fields.ts";
import "../uapi/layout.ts";
import "../uapi/linux/dirent.ts";
import "../uapi/linux/epoll.ts";
import "../uapi/linux/eventfd.ts";
import "../uapi/linux/fcntl.ts";
import "../uapi/linux/memfd.ts";
import "../uapi/linux/mman.ts";
import "../uapi/linux/poll.ts";
import "../uapi/linux/socket.ts";
import "../uapi/linux/statx.ts";
import "../uapi/linux/syscall.ts";
