/**
 * Hosts that answer to ssh: network namespaces, each with an `sshd`, and one
 * from which they are reached. They have this machine's files.
 *
 * @module
 */
import { onPath } from "./programs.ts";

const SSHD = "/usr/sbin/sshd";

/** Runs a program, and fails with what it has written. */
async function run(program: string, ...args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  throw new Error(`${program}: ${new TextDecoder().decode(stderr).trim()}`);
}

/** Why there can be no such hosts here. */
export async function whyNoSshHosts(): Promise<string | undefined> {
  if (Deno.uid() !== 0) return "only root makes network namespaces";
  const missing = ["ip", "ssh", "ssh-keygen"].find((name) => !onPath(name));
  if (missing !== undefined) return `${missing} is not installed`;
  const sshd = await Deno.stat(SSHD).catch(() => undefined);
  if (sshd === undefined) return "sshd is not installed";
  const name = `passthru-try-${Deno.pid}`;
  try {
    await run("ip", "netns", "add", name);
    await run("ip", "netns", "delete", name);
  } catch (error) {
    return (error as Error).message;
  }
}

/** Some hosts that answer to ssh. */
export class SshHosts implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #controller = `passthru-ctl-${Deno.pid}`;
  readonly #addresses: string[] = [];
  readonly #logs: string[] = [];
  /** The private key that they accept, of root. */
  readonly key: string;

  private constructor(key: string) {
    this.key = key;
  }

  /**
   * Starts hosts.
   *
   * @param folder Keeps their keys.
   * @param count How many.
   */
  static async start(folder: string, count: number): Promise<SshHosts> {
    const hosts = new SshHosts(`${folder}/key`);
    try {
      for (const key of [hosts.key, `${folder}/host_key`]) {
        await run("ssh-keygen", ...[
          "-q",
          "-t",
          "ed25519",
          "-N",
          "",
          "-f",
          key,
        ]);
      }
      await Deno.mkdir("/run/sshd", { recursive: true });
      await hosts.#namespace(hosts.#controller);
      for (let i = 0; i < count; i++) await hosts.#add(i, folder);
      return hosts;
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Their addresses. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Whether somebody has logged in on each of them. */
  get haveLogins(): boolean {
    return this.#logs.every((log) => /Accepted publickey for root/.test(log));
  }

  /** The words before a command from which they are reached. */
  get prefix(): readonly string[] {
    return ["ip", "netns", "exec", this.#controller];
  }

  async #namespace(name: string): Promise<void> {
    await run("ip", "netns", "add", name);
    this.#stack.defer(() => run("ip", "netns", "delete", name));
    await run("ip", "-n", name, "link", "set", "lo", "up");
  }

  async #add(i: number, folder: string): Promise<void> {
    const name = `passthru-${i}-${Deno.pid}`;
    await this.#namespace(name);
    const address = `10.99.${i}.2`;
    const ends = [
      [this.#controller, `host${i}`, `10.99.${i}.1/30`],
      [name, "eth0", `${address}/30`],
    ] as const;
    const [[near, nearEnd], [far, farEnd]] = ends;
    await run(
      "ip",
      ...["-n", near, "link", "add", nearEnd, "type", "veth"],
      ...[
        ...["peer", "name", farEnd, "netns", far],
      ],
    );
    for (const [namespace, end, network] of ends) {
      await run("ip", ...["-n", namespace, "addr", "add", network, "dev", end]);
      await run("ip", ...["-n", namespace, "link", "set", end, "up"]);
    }
    const settings = [
      `HostKey=${folder}/host_key`,
      `AuthorizedKeysFile=${this.key}.pub`,
      `ListenAddress=${address}`,
      "StrictModes=no",
      "UsePAM=no",
      "PidFile=none",
      "Subsystem=sftp internal-sftp",
    ];
    const sshd = new Deno.Command("ip", {
      args: [
        ...["netns", "exec", name, SSHD, "-D", "-e", "-f", "/dev/null"],
        ...settings.flatMap((setting) => ["-o", setting]),
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const log = this.#keepLog(i, sshd.stderr);
    this.#stack.defer(async () => {
      // `ip netns exec` becomes the program that it runs.
      sshd.kill();
      await sshd.status;
      await log.end;
    });
    await log.listening;
    this.#addresses.push(address);
  }

  /** Keeps what a server says. Its `listening` fails where it ends before. */
  #keepLog(i: number, stream: ReadableStream<Uint8Array>) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#logs[i] = "";
    const read = async () => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        this.#logs[i] += text;
        if (/Server listening/.test(this.#logs[i]!)) resolve();
      }
      reject(new Error(`sshd has ended: ${this.#logs[i]}`));
    };
    return { listening: promise, end: read() };
  }

  /** Ends them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
