/**
 * A simulated NVMe controller with the driver of `examples/nvme/`.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { AddressSpace, VfioDevice } from "../../../mod.ts";
import { NvmeController } from "../../../examples/nvme/controller.ts";
import type { StartOptions } from "../../../examples/nvme/controller.ts";
import { nvme, type NvmeOptions, simulate } from "../../../lib/sim/mod.ts";
import type { NvmeFaults } from "../../../lib/sim/mod.ts";
import { randomNumbers } from "../random.ts";

/** The controller's address. */
export const ADDRESS = "0000:01:00.0";

/** A started controller, and what it is made of. */
export class NvmeSetup implements AsyncDisposable {
  readonly #owned: AsyncDisposableStack;
  readonly space: AddressSpace;
  readonly device: VfioDevice;
  /** The DMA that the IOMMU has blocked. */
  readonly blocked: readonly unknown[];

  private constructor(
    owned: AsyncDisposableStack,
    space: AddressSpace,
    device: VfioDevice,
    blocked: readonly unknown[],
  ) {
    this.#owned = owned;
    this.space = space;
    this.device = device;
    this.blocked = blocked;
  }

  /** Attaches a simulated controller. */
  static async attach(options: NvmeOptions = {}): Promise<NvmeSetup> {
    await using owned = new AsyncDisposableStack();
    const host = simulate({
      functions: { [ADDRESS]: { model: nvme(options) } },
    });
    const taken = owned.use(await host.take(ADDRESS));
    const space = owned.use(new AddressSpace({ host }));
    const device = owned.use(await VfioDevice.attach(taken.device, space));
    return new NvmeSetup(owned.move(), space, device, host.machine.faults);
  }

  /** Attaches one that does something wrong. */
  static faulty(faults: NvmeFaults): Promise<NvmeSetup> {
    return NvmeSetup.attach({ faults });
  }

  /** Starts the driver, which is stopped before the device is detached. */
  async start(options: StartOptions = {}): Promise<NvmeController> {
    return this.#owned.use(await NvmeController.start(this.device, options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** Asserts that bytes are equal, quickly. */
export function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  assertEquals(actual.findIndex((byte, i) => byte !== expected[i]), -1);
}

/** Bytes that are the same in each run. */
export function randomBytes(seed: number, length: number) {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length }, () => random(256));
}
