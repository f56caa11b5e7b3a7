/** Something that is open on a device, and keeps it open. */
interface Resource {
  readonly what: string;
  readonly release: () => void | Promise<void>;
}

/** What a detach could not release. */
export interface Unreleased {
  /** What it is. */
  readonly what: string;
  /** Why. */
  readonly cause: unknown;
}

/**
 * What is open on a device: mapped registers, interrupts, and the like. A detach
 * releases all of it, the last first.
 */
export class Resources {
  readonly #open = new Set<Resource>();

  /**
   * Adds something that is released at the detach at the latest.
   *
   * @param what What it is, for the error where it cannot be released: "the
   * registers of region 0".
   * @param release Releases it. Where that fails it is called again.
   * @returns To be called when it was released before.
   */
  hold(what: string, release: () => void | Promise<void>): () => void {
    const resource = { what, release };
    this.#open.add(resource);
    return () => void this.#open.delete(resource);
  }

  /** Releases all, whatever fails, and gives what could not be released. */
  async release(): Promise<Unreleased[]> {
    const failed: Unreleased[] = [];
    for (const resource of [...this.#open].reverse()) {
      // Linux refuses only when it lacks memory, which passes.
      const cause = await attempt(resource) && await attempt(resource);
      if (cause === undefined) this.#open.delete(resource);
      else failed.push({ what: resource.what, cause: cause.error });
    }
    return failed;
  }
}

/** Releases a resource, and gives the error. */
async function attempt(
  resource: Resource,
): Promise<{ error: unknown } | undefined> {
  try {
    await resource.release();
    return undefined;
  } catch (error) {
    return { error };
  }
}
