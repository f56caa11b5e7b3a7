/**
 * Waits for packets of any number of cards.
 *
 * @module
 */
import type { NetworkCard } from "./card.ts";

/** How often it checks that the cards are there, in milliseconds. */
const INTERVAL = 100;
/** How often it looks at cards without an interrupt. */
const LOOK = 1;

/**
 * Waits until one of the cards has a packet.
 *
 * @param cards The cards.
 * @param signal Gives it up.
 * @throws {NicError} `CLOSED` when one is stopped.
 * @throws {VfioError} `DEVICE_LOST` when one is gone, within 100 ms; `DETACHED`.
 * @throws The signal's reason, when it is aborted.
 */
export async function untilPacket(
  cards: readonly NetworkCard[],
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const isThere = () => cards.some(({ hasPacket }) => hasPacket);
  if (isThere()) return;
  using stack = new DisposableStack();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // A packet that came before the interrupt was armed does not cause one.
  const look = () => {
    for (const card of cards) card.arm();
    if (isThere()) resolve();
  };
  // The link may have changed, or a packet come that was taken long ago.
  const interrupted = () => isThere() ? resolve() : attempt(look);
  const attempt = (work: () => void) => {
    try {
      work();
    } catch (error) {
      reject(error);
    }
  };
  for (const { vector } of cards) {
    if (vector !== undefined) stack.use(vector.listen(interrupted));
  }
  const isAsleep = cards.every(({ vector }) => vector !== undefined);
  const check = () => {
    for (const card of cards) card.check();
    if (isThere()) resolve();
  };
  const timer = setInterval(
    () => attempt(check),
    isAsleep ? INTERVAL : LOOK,
  );
  stack.defer(() => clearInterval(timer));
  const aborted = () => reject(signal!.reason);
  signal?.addEventListener("abort", aborted);
  stack.defer(() => signal?.removeEventListener("abort", aborted));
  attempt(look);
  await promise;
}
