/**
 * A device plugin: serves the devices of a host, and registers with the kubelet.
 *
 * @module
 */

import {
  type AllocateRequest,
  DevicePlugin,
  type ListAndWatchResponse,
  type RegisterRequest,
  Registration,
  VERSION,
} from "./api.ts";
import { grpc } from "./deps.ts";
import type { Devices } from "./devices.ts";

/** The kubelet's folder for device plugins. */
export const FOLDER = "/var/lib/kubelet/device-plugins";

/** How a plugin runs. */
export interface PluginOptions {
  /** The kubelet's folder for device plugins. */
  readonly folder: string;
  /** How often the devices and the kubelet are looked at, in milliseconds. */
  readonly interval: number;
  /** Ends the plugin. */
  readonly signal: AbortSignal;
  /** Called with each thing that happens, in a line. */
  readonly log: (line: string) => void;
}

type Stream = grpc.ServerWritableStream<unknown, ListAndWatchResponse>;

/**
 * Serves devices until the signal ends it. A kubelet that starts removes all
 * sockets in its folder: then it is served and registered with again.
 *
 * @param resource What a container asks for: `"example.com/gpu"`.
 * @param devices The devices.
 * @param options The folder, the signal and the like.
 * @throws When the kubelet refuses the resource.
 */
export async function runPlugin(
  resource: string,
  devices: Devices,
  options: PluginOptions,
): Promise<void> {
  const { folder, signal, log, interval } = options;
  while (!signal.aborted) {
    await using server = await Serving.start(resource, devices, folder);
    if (await register(folder, resource, server.endpoint)) {
      log(`registered ${resource} with the kubelet`);
      await server.watch(interval, signal);
    } else {
      await pause(interval, signal);
    }
  }
}

/** A server on a socket in the kubelet's folder. */
class Serving implements AsyncDisposable {
  /** The name of its socket. */
  readonly endpoint: string;
  readonly #path: string;
  readonly #devices: Devices;
  readonly #server = new grpc.Server();
  readonly #streams = new Set<Stream>();
  #last = "";

  private constructor(resource: string, devices: Devices, folder: string) {
    this.endpoint = `passthru-${resource.replaceAll("/", "-")}.sock`;
    this.#path = `${folder}/${this.endpoint}`;
    this.#devices = devices;
  }

  static async start(
    resource: string,
    devices: Devices,
    folder: string,
  ): Promise<Serving> {
    const serving = new Serving(resource, devices, folder);
    await removeIfThere(serving.#path);
    serving.#server.addService(DevicePlugin, {
      GetDevicePluginOptions: (
        _call: unknown,
        answer: grpc.sendUnaryData<unknown>,
      ) => answer(null, {}),
      ListAndWatch: (stream: Stream) => serving.#list(stream),
      Allocate: (
        call: grpc.ServerUnaryCall<AllocateRequest, unknown>,
        answer: grpc.sendUnaryData<unknown>,
      ) => serving.#allocate(call, answer),
    });
    const credentials = grpc.ServerCredentials.createInsecure();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    serving.#server.bindAsync(
      `unix:${serving.#path}`,
      credentials,
      (error) => error === null ? resolve() : reject(error),
    );
    await promise;
    return serving;
  }

  /**
   * Tells the kubelet what changes.
   *
   * @returns When its socket is gone, or the signal is aborted.
   */
  async watch(interval: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && await isThere(this.#path)) {
      const devices = this.#devices.list();
      const now = JSON.stringify(devices);
      if (now !== this.#last) {
        this.#last = now;
        for (const stream of this.#streams) stream.write({ devices });
      }
      await pause(interval, signal);
    }
  }

  #list(stream: Stream): void {
    this.#streams.add(stream);
    stream.on("cancelled", () => {
      this.#streams.delete(stream);
      stream.end();
    });
    stream.write({ devices: this.#devices.list() });
  }

  #allocate(
    { request }: grpc.ServerUnaryCall<AllocateRequest, unknown>,
    answer: grpc.sendUnaryData<unknown>,
  ): void {
    try {
      const containerResponses = request.containerRequests.map((
        { devicesIDs },
      ) => this.#devices.allocate(devicesIDs));
      answer(null, { containerResponses });
    } catch (error) {
      const { INVALID_ARGUMENT, FAILED_PRECONDITION } = grpc.status;
      const code = error instanceof RangeError
        ? INVALID_ARGUMENT
        : FAILED_PRECONDITION;
      answer({ code, details: (error as Error).message });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#streams) stream.end();
    this.#server.forceShutdown();
    await removeIfThere(this.#path);
  }
}

/** What a call ends with where the kubelet is not there, or ends meanwhile. */
const GONE = [
  grpc.status.CANCELLED,
  grpc.status.DEADLINE_EXCEEDED,
  grpc.status.UNAVAILABLE,
];

/**
 * Registers with the kubelet.
 *
 * @returns Whether there is a kubelet.
 * @throws When it refuses the plugin.
 */
async function register(
  folder: string,
  resourceName: string,
  endpoint: string,
): Promise<boolean> {
  const Client = grpc.makeClientConstructor(Registration, "Registration");
  const client = new Client(
    `unix:${folder}/kubelet.sock`,
    grpc.credentials.createInsecure(),
  );
  const request: RegisterRequest = { version: VERSION, endpoint, resourceName };
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const deadline = { deadline: Date.now() + 10_000 };
  client.Register!(request, deadline, (error: grpc.ServiceError | null) => {
    client.close();
    if (error === null) resolve(true);
    else if (GONE.includes(error.code)) resolve(false);
    else {reject(
        new Error(`the kubelet refuses ${resourceName}: ${error.details}`),
      );}
  });
  return await promise;
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const end = () => resolve();
  signal.addEventListener("abort", end, { once: true });
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
