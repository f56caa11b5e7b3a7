/**
 * The monitor of the QEMU that emulates this machine, where the machine has it:
 * it does what nothing inside of the machine can.
 *
 * @module
 */

/** QEMU's monitor, with its machine protocol (`docs/interop/qmp-spec.rst`). */
export class Monitor implements Disposable {
  readonly #port: Deno.FsFile;
  #rest = "";

  private constructor(port: Deno.FsFile) {
    this.#port = port;
  }

  /** Opens it. One process at a time can. */
  static async open(): Promise<Monitor> {
    const ports = "/sys/class/virtio-ports";
    for await (const { name } of Deno.readDir(ports)) {
      const text = await Deno.readTextFile(`${ports}/${name}/name`);
      if (text.trimEnd() !== "monitor") continue;
      const port = await Deno.open(`/dev/${name}`, { read: true, write: true });
      const monitor = new Monitor(port);
      // It is refused where somebody had it open before.
      await monitor.#execute("qmp_capabilities").catch(() => {});
      return monitor;
    }
    throw new Error("This machine has no monitor");
  }

  /**
   * Runs a command for people.
   *
   * @param line The command, as `help` of the monitor describes it.
   * @returns What it prints.
   */
  async run(line: string): Promise<string> {
    return await this.#execute("human-monitor-command", {
      "command-line": line,
    }) as string;
  }

  async #execute(execute: string, args: unknown = {}): Promise<unknown> {
    const text = JSON.stringify({ execute, arguments: args }) + "\n";
    await this.#port.write(new TextEncoder().encode(text));
    while (true) {
      const answer = JSON.parse(await this.#line());
      if (answer.error !== undefined) throw new Error(answer.error.desc);
      // A greeting and events come in between.
      if ("return" in answer) return answer.return;
    }
  }

  async #line(): Promise<string> {
    const bytes = new Uint8Array(4096);
    while (!this.#rest.includes("\n")) {
      const size = await this.#port.read(bytes);
      if (size === null) throw new Error("QEMU has closed its monitor");
      this.#rest += new TextDecoder().decode(bytes.subarray(0, size));
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return line;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#port.close();
  }
}
