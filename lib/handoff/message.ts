/**
 * The message with which descriptors go from one process to another: JSON, and
 * the descriptors beside it (`SCM_RIGHTS`, unix(7)).
 *
 * @module
 */

import { toVfioError, VfioError } from "../errors.ts";
import type { SignalOptions } from "../kernel/abort.ts";
import { Fd } from "../kernel/fd.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { POLLIN } from "../uapi/linux/poll.ts";

/** The most descriptors that a message has: `SCM_MAX_FD`. */
const MOST = 253;

/** Room for a message. */
const SIZE = 16 * 1024;

/** What the JSON says. */
interface Contents {
  /** The ids of the devices in the iommufd, `null` where one is not bound. */
  readonly deviceIds: readonly (number | null)[];
}

/** What was received. */
interface Received {
  /** The descriptors: the iommufd, and the devices. They are the receiver's. */
  readonly fds: readonly Fd[];
  /** The devices' ids in the iommufd. */
  readonly ids: readonly (number | undefined)[];
}

/**
 * Sends descriptors.
 *
 * @param kernel The system.
 * @param socket The socket.
 * @param fds The iommufd, and the devices.
 * @param ids The devices' ids in the iommufd.
 */
export function send(
  kernel: Kernel,
  socket: number,
  fds: readonly number[],
  ids: readonly (number | undefined)[],
): void {
  const contents: Contents = { deviceIds: ids.map((id) => id ?? null) };
  const bytes = new TextEncoder().encode(JSON.stringify(contents));
  try {
    kernel.sendmsg(socket, bytes, fds);
  } catch (error) {
    throw toVfioError(error, "send the descriptors");
  }
}

/**
 * Receives descriptors.
 *
 * @param kernel The system.
 * @param socket The socket.
 * @param options A signal, which ends the wait.
 */
export async function receive(
  kernel: Kernel,
  socket: number,
  { signal }: SignalOptions,
): Promise<Received> {
  const bytes = new Uint8Array(SIZE);
  using stack = new DisposableStack();
  try {
    // A signal of the process can end the wait early.
    const requests = [{ fd: socket, events: POLLIN }];
    const options = signal === undefined ? {} : { signal };
    while ((await kernel.pollAsync(requests, -1, options))[0] === 0);
    const received = kernel.recvmsg(socket, bytes, MOST);
    const fds = received.fds
      .map((number) => stack.use(Fd.adopt(kernel, number)));
    if (received.bytes === 0) throw closed();
    const ids = parse(bytes.subarray(0, received.bytes), fds.length - 1);
    stack.move();
    return { fds, ids };
  } catch (error) {
    throw toVfioError(error, "receive descriptors");
  }
}

function parse(bytes: Uint8Array, devices: number): (number | undefined)[] {
  let contents: Partial<Contents> | undefined;
  try {
    contents = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // Told below.
  }
  const ids = contents?.deviceIds;
  if (!Array.isArray(ids) || ids.length !== devices) {
    throw new TypeError(
      "Cannot receive descriptors: expected what VfioDescriptors.send() sends",
    );
  }
  return ids.map((id) => id ?? undefined);
}

function closed(): VfioError {
  return new VfioError("DEVICE_NOT_FOUND", {
    problem: "no descriptors came: the other end of the socket was closed",
    hint: "look why the process that sends them ended",
  });
}
