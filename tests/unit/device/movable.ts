/**
 * A simulated host with devices that can migrate.
 *
 * @module
 */
import {
  AddressSpace,
  type Features,
  Host,
  type Kernel,
  type Migration,
  VfioDevice,
} from "../../../mod.ts";
import { simulate, type SimulatedHost } from "../../../lib/sim/mod.ts";

/** The addresses of the devices that can migrate. */
export const MOVABLE = ["0000:01:00.0", "0000:02:00.0"] as const;
/** A device that cannot, and a physical function. */
export const FIXED = "0000:03:00.0";

/** The registers of a scratchpad. */
export const SCRATCHPAD = {
  dmaTarget: 0x08,
  dmaCount: 0x10,
  run: 0x14,
  settings: 0x18,
  memory: 0x1000,
} as const;

/** Devices, attached until this is disposed of. */
export interface Movable extends AsyncDisposable {
  readonly host: SimulatedHost;
  readonly space: AddressSpace;
  readonly one: VfioDevice;
  readonly other: VfioDevice;
  readonly fixed: VfioDevice;
  /** The features of the first device. */
  readonly features: Features;
  /** Those of the device that cannot migrate. */
  readonly fixedFeatures: Features;
  /** The migration of the first device. */
  readonly source: Migration;
  /** That of the second one. */
  readonly target: Migration;
}

/**
 * Attaches the devices.
 *
 * @param decorate Changes the kernel. Default: no change.
 * @param release The kernel's release.
 */
export async function movable(
  decorate = (kernel: Kernel): Kernel => kernel,
  release = "7.3.4",
): Promise<Movable> {
  const device = { model: "scratchpad", driver: "mlx5_vfio_pci" };
  const sriov = { total: 2, id: "8086:10ca", driver: "igbvf" };
  const host = simulate({
    kernel: { release },
    functions: {
      [MOVABLE[0]]: device,
      [MOVABLE[1]]: device,
      [FIXED]: { id: "8086:10c9", driver: "vfio-pci", bars: ["16K"], sriov },
    },
  });
  const space = new AddressSpace({
    host: new Host({ kernel: decorate(host.kernel) }),
  });
  const one = await VfioDevice.attach(MOVABLE[0], space);
  const other = await VfioDevice.attach(MOVABLE[1], space);
  const fixed = await VfioDevice.attach(FIXED, space);
  return {
    host,
    space,
    one,
    other,
    fixed,
    features: await one.features(),
    fixedFeatures: await fixed.features(),
    source: (await one.migration())!,
    target: (await other.migration())!,
    [Symbol.asyncDispose]: () => space.close(),
  };
}

/** Reads all of a stream. */
export async function bytesOf(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as BodyInit).arrayBuffer());
}
