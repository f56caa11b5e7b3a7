/**
 * A simulated sysfs, and the answers to a process that writes to it. The
 * expected answers were compared with Linux 6.1 and 7.3, on the same devices in
 * virtual machines.
 */
import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals } from "@std/assert";
import type { Host } from "../../../lib/host/host.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";

export const A = "0000:00:03.0";
export const B = "0000:00:03.1";
export const PF = "0000:01:00.0";
export const PCI = "/sys/bus/pci";
export const PATH = `/sys/devices/pci0000:00/${A}`;
export const OVERRIDE = `${PATH}/driver_override`;
export const NUMVFS = `${PCI}/devices/${PF}/sriov_numvfs`;
export const NIC: FunctionTopology = { id: "8086:10d3", class: 0x020000 };
export const NVME: FunctionTopology = { id: "1b36:0010", class: 0x010802 };
export const PHYSICAL: FunctionTopology = {
  ...NIC,
  driver: "igb",
  sriov: { total: 4, id: "8086:10ca", driver: "igbvf", offset: 1, stride: 1 },
};

/** Returns the errno of a call, or `"ok"`. */
export async function answer(call: () => unknown): Promise<string> {
  try {
    await call();
    return "ok";
  } catch (error) {
    if (error instanceof KernelError) return error.code;
    throw error;
  }
}

/** A simulated host, with the operations of a shell. */
export class Sysfs {
  readonly host: Host;
  readonly kernel: Kernel;

  constructor(topology: Topology | FunctionTopology) {
    this.host = simulate(
      "functions" in topology
        ? topology as Topology
        : { functions: { [A]: topology as FunctionTopology } },
    );
    this.kernel = this.host.kernel;
  }

  write(path: string, text: string): Promise<string> {
    return answer(() => this.kernel.writeFileAsync(path, text));
  }

  bind(driver: string, address: string): Promise<string> {
    return this.write(`${PCI}/drivers/${driver}/bind`, address);
  }

  unbind(driver: string, address: string): Promise<string> {
    return this.write(`${PCI}/drivers/${driver}/unbind`, address);
  }

  probe(address: string): Promise<string> {
    return this.write(`${PCI}/drivers_probe`, address);
  }

  override(address: string, driver: string): Promise<string> {
    const path = `${PCI}/devices/${address}/driver_override`;
    return this.write(path, driver);
  }

  /** Gives a function to vfio-pci. */
  async take(address: string): Promise<void> {
    assertEquals(await this.override(address, "vfio-pci"), "ok");
    assertEquals(await this.bind("vfio-pci", address), "ok");
  }

  read(path: string): string {
    return this.kernel.readFile(path);
  }

  names(path: string): string[] {
    return this.kernel.readdir(path);
  }

  driver(address: string): string | undefined {
    return this.host.function(address).driver;
  }
}

/** Waits a moment, and returns the answer of a call so far, and its promise. */
export async function blocked(
  call: Promise<string>,
): Promise<{ over: Promise<string>; now: string }> {
  let now = "blocked";
  const over = call.then((result) => now = result);
  await new Promise((resolve) => setTimeout(resolve));
  return {
    over,
    get now() {
      return now;
    },
  };
}
