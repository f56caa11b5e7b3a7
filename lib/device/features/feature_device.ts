import type { Fd } from "../../kernel/fd.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import type { RegisterGate } from "../regions/register_gate.ts";

/** What features need of their device. */
export interface FeatureDevice {
  /** Its name, for errors. */
  readonly name: string;
  /** The system that is asked. */
  readonly kernel: Kernel;
  /** Its descriptor; throws `DETACHED` once it is detached. */
  readonly handle: Fd;
  /** Closes its mapped registers while it sleeps. */
  readonly gate: RegisterGate;
  /**
   * Has something released at its detach at the latest. The function that it
   * returns is called when that was released before.
   */
  hold(what: string, release: () => void | Promise<void>): () => void;
}
