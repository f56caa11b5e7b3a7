/**
 * How long it takes from a write to an eventfd until JavaScript has its count.
 *
 * @module
 */
import type { Kernel } from "../../mod.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { EFD_NONBLOCK } from "../../lib/uapi/linux/eventfd.ts";
import { F_SETFD } from "../../lib/uapi/linux/fcntl.ts";
import {
  compare,
  type Comparison,
  type Contestant,
  percentile,
} from "./compare.ts";
import { now } from "./monotonic.ts";
import { Peer } from "./peer.ts";

const TARGET = {
  target: 3,
  holds: "The thread that waits hands the event to the one that runs " +
    "JavaScript, which has to be woken as well: C wakes one thread.",
};

/** How many eventfds are waited for at once. */
const COUNTS = [1, 16, 256] as const;

/**
 * Measures the wait for eventfds, which another process writes the time to.
 *
 * @param program The C program.
 * @param rounds How many rounds there are.
 */
export async function* measureLatency(
  program: string,
  rounds: number,
): AsyncGenerator<Comparison> {
  const kernel = new LibcKernel();
  const fds = Array.from({ length: Math.max(...COUNTS) }, () => {
    const fd = kernel.eventfd(0, EFD_NONBLOCK);
    // The C program is to have it too.
    kernel.fcntl(fd, F_SETFD, 0);
    return fd;
  });
  await using peer = new Peer(program);
  for (const count of COUNTS) {
    for (
      const [way, wait] of [["watched", watch], [
        "listened to",
        listen,
      ]] as const
    ) {
      for (const percent of [50, 99]) {
        const what = `eventfd to JavaScript, ${count} ${way}, p${percent}`;
        yield await compare(
          {
            what,
            ...percent === 50 ? TARGET : {},
            warmUp: 400,
            times: 200,
            rounds,
          },
          {
            ts: waiting(kernel, peer, fds.slice(0, count), wait, percent),
            c: peer.contestant("latency", count, percent),
          },
        );
      }
    }
  }
  for (const fd of fds) kernel.close(fd);
}

/** Gives each time that was written to one of the eventfds. */
type Wait = (
  kernel: Kernel,
  fds: readonly number[],
  got: (time: number) => void,
) => Disposable;

/** Waits by {@linkcode Kernel.watch}. */
function watch(
  kernel: Kernel,
  fds: readonly number[],
  got: (time: number) => void,
): Disposable {
  const watches = fds.map((fd) => kernel.watch(fd));
  for (const counts of watches) {
    (async () => {
      for await (const time of counts) got(time);
    })();
  }
  return {
    [Symbol.dispose]() {
      for (const counts of watches) counts.return!();
    },
  };
}

/** Waits by {@linkcode Kernel.eventSource}, as interrupts do. */
function listen(
  kernel: Kernel,
  fds: readonly number[],
  got: (time: number) => void,
): Disposable {
  const sources = fds.map((fd) => kernel.eventSource(fd));
  for (const source of sources) {
    const ready = () => {
      const time = source.read();
      if (time !== undefined) got(time);
      source.arm(ready);
    };
    source.arm(ready);
  }
  return {
    [Symbol.dispose]() {
      for (const source of sources) source.release();
    },
  };
}

function waiting(
  kernel: Kernel,
  peer: Peer,
  fds: readonly number[],
  wait: Wait,
  percent: number,
): Contestant {
  return async (times) => {
    const latencies: number[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    let seen = 0;
    using _ = wait(kernel, fds, (written) => {
      const time = now();
      // Two writes that were read at once are no sample.
      const together = Math.round(written / time);
      if (together === 1) latencies.push(time - written);
      seen += together;
      if (seen >= times) resolve();
    });
    await peer.ask("wake", times, ...fds);
    await done;
    return percentile(latencies, percent) * times;
  };
}
