/**
 * The machines' function that can have virtual functions.
 *
 * @module
 */
import { exists } from "../../lib/host/sysfs.ts";
import { answer, answerOf } from "./answer.ts";
import type { Setup } from "./setup.ts";

const BUS = "/sys/bus/pci";
/** Its first virtual function. */
export const FIRST = "0000:01:00.1";
/** Its second one. */
export const SECOND = "0000:01:00.2";

/** A function with up to four virtual functions. They are removed at the end. */
export class Physical implements AsyncDisposable {
  readonly #setup: Setup;
  /** Its address. */
  readonly address: string;

  /** @param setup The fixtures of the test. */
  constructor(setup: Setup) {
    this.#setup = setup;
    this.address = setup.address("sriov0");
  }

  /** Reads an attribute of it. */
  read(name: string): string {
    return this.#setup.kernel.readFile(this.#path(name));
  }

  /** Writes to an attribute of it, or to one of the bus. */
  async write(name: string, text: string): Promise<unknown> {
    const path = name.startsWith("drivers")
      ? `${BUS}/${name}`
      : this.#path(name);
    return await answerOf(() => this.#setup.kernel.writeFileAsync(path, text));
  }

  /** Writes to an attribute of a virtual function. */
  async writeTo(address: string, name: string, text: string): Promise<unknown> {
    const path = `${BUS}/devices/${address}/${name}`;
    return await answerOf(() => this.#setup.kernel.writeFileAsync(path, text));
  }

  /** The driver of a function, or `null` where there is no such function. */
  driverOf(address: string): string | undefined | null {
    const { kernel, host } = this.#setup;
    if (!exists(kernel, `${BUS}/devices/${address}`)) return null;
    return host.function(address).driver;
  }

  /** The target of a link of a function. */
  link(address: string, name: string): string {
    const { kernel } = this.#setup;
    return answer(() => kernel.readlink(`${BUS}/devices/${address}/${name}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#setup.closeAll();
    await this.write("sriov_numvfs", "0");
    await this.write("sriov_drivers_autoprobe", "1");
    await this.write("driver_override", "\n");
    if (this.driverOf(this.address) === "nvme") return;
    await this.write("drivers/vfio-pci/unbind", this.address);
    await this.write("drivers/nvme/bind", this.address);
  }

  #path(name: string): string {
    return `${BUS}/devices/${this.address}/${name}`;
  }
}
