/**
 * Another process, which attaches devices on request.
 *
 * @module
 */
import { AddressSpace, type BackendName, VfioDevice } from "../../../mod.ts";
import { lines } from "../command.ts";

/** Another process. It ends when it is disposed of. */
export class OtherProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncGenerator<string>;

  /** Starts it. */
  constructor() {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--no-lock"],
        ...["--config", "deno.offline.json", import.meta.filename!],
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#orders = this.#child.stdin.getWriter();
    this.#answers = lines(this.#child.stdout);
  }

  /** Its name and number, as the library's messages have them. */
  get name(): string {
    return `deno (process ${this.#child.pid})`;
  }

  /**
   * Attaches a device in it.
   *
   * @param address The PCI address, bound to vfio-pci.
   * @param backend The backend that it takes.
   * @param detachOnRequest Whether it gives the device up when it is asked to.
   * @returns Detaches the device when it is disposed of.
   * @throws {Error} With the error of the other process.
   */
  async attach(
    address: string,
    backend: BackendName,
    detachOnRequest = false,
  ): Promise<AsyncDisposable> {
    await this.#order(address, backend, String(detachOnRequest));
    return { [Symbol.asyncDispose]: () => this.detach() };
  }

  /** Detaches its device. */
  async detach(): Promise<void> {
    await this.#order();
  }

  async #order(...order: string[]): Promise<void> {
    await this.#orders.write(new TextEncoder().encode(`${order.join(" ")}\n`));
    const { value: answer } = await this.#answers.next();
    if (answer !== "done") throw new Error(`The other process: ${answer}`);
  }

  /** Ends it, which releases its device. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close();
    for await (const _ of this.#answers);
    await this.#child.status;
  }
}

/** Carries out one order: attaches a device, or detaches the present one. */
async function carryOut(order: string, space: AddressSpace | undefined) {
  await space?.close();
  if (order === "") return undefined;
  const [address, backend, onRequest] = order.split(" ");
  const next = new AddressSpace({ backend: backend as BackendName });
  const detachOnRequest = onRequest === "true";
  await VfioDevice.attach(address!, next, { detachOnRequest });
  return next;
}

if (import.meta.main) {
  let space: AddressSpace | undefined;
  for await (const order of lines(Deno.stdin.readable)) {
    try {
      space = await carryOut(order, space);
      console.log("done");
    } catch (error) {
      console.log(Deno.inspect(error).replaceAll("\n", " "));
    }
  }
}
