/**
 * The device plugin, against a kubelet of ours: the registration's socket, and
 * a client that lists, watches and allocates.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  DevicePlugin,
  type ListAndWatchResponse,
  type RegisterRequest,
  Registration,
} from "../../integrations/kubernetes/api.ts";
import { grpc } from "../../integrations/kubernetes/deps.ts";
import { Devices } from "../../integrations/kubernetes/devices.ts";
import { runPlugin } from "../../integrations/kubernetes/plugin.ts";
import { simulate, type SimulatedHost } from "../../lib/sim/mod.ts";

const RESOURCE = "example.com/gpu";
const CARD = "0000:01:00.0";
const SOUND = "0000:01:00.1";
const OTHER = "0000:02:00.0";

function machine(): SimulatedHost {
  return simulate({
    functions: {
      [CARD]: { id: "10de:2204", driver: "vfio-pci", group: 12, numaNode: 1 },
      [SOUND]: { id: "10de:1aef", driver: "vfio-pci", group: 12 },
      [OTHER]: { id: "8086:10d3", driver: "e1000e", group: 13 },
    },
  });
}

/** The kubelet's side. */
class Kubelet implements AsyncDisposable {
  readonly folder: string;
  #server = new grpc.Server();
  #requests: RegisterRequest[] = [];
  #waiting: (() => void) | undefined;
  /** Why it refuses a plugin. */
  refusal: string | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(): Promise<Kubelet> {
    const kubelet = new Kubelet(await Deno.makeTempDir());
    await kubelet.#serve();
    return kubelet;
  }

  async #serve(): Promise<void> {
    this.#server.addService(Registration, {
      Register: (
        { request }: grpc.ServerUnaryCall<RegisterRequest, unknown>,
        answer: grpc.sendUnaryData<unknown>,
      ) => {
        this.#requests.push(request);
        this.#waiting?.();
        if (this.refusal === undefined) answer(null, {});
        else answer({ code: grpc.status.INTERNAL, details: this.refusal });
      },
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.bindAsync(
      `unix:${this.folder}/kubelet.sock`,
      grpc.ServerCredentials.createInsecure(),
      () => resolve(),
    );
    await promise;
  }

  /** Starts anew, as after an update: it removes all sockets. */
  async restart(): Promise<void> {
    this.#server.forceShutdown();
    for await (const { name } of Deno.readDir(this.folder)) {
      await Deno.remove(`${this.folder}/${name}`);
    }
    this.#server = new grpc.Server();
    await this.#serve();
  }

  /** Waits until a plugin has registered. */
  async registered(): Promise<RegisterRequest> {
    while (this.#requests.length === 0) {
      await new Promise<void>((resolve) => this.#waiting = resolve);
    }
    return this.#requests.shift()!;
  }

  /** A client of a plugin. */
  client(endpoint: string) {
    const Client = grpc.makeClientConstructor(DevicePlugin, "DevicePlugin");
    return new Client(
      `unix:${this.folder}/${endpoint}`,
      grpc.credentials.createInsecure(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    await Deno.remove(this.folder, { recursive: true });
  }
}

type Client = InstanceType<ReturnType<typeof grpc.makeClientConstructor>>;

/** Makes a call, and returns the answer. */
function ask(
  client: Client,
  method: string,
  request: unknown,
  // deno-lint-ignore no-explicit-any
): Promise<any> {
  return new Promise((resolve, reject) =>
    client[method]!(
      request,
      (error: grpc.ServiceError | null, answer: unknown) =>
        error === null ? resolve(answer) : reject(error),
    )
  );
}

/** Watches a plugin: what it lists, one after the other. */
function watch(client: Client): AsyncIterator<ListAndWatchResponse> & {
  cancel(): void;
} {
  const stream: grpc.ClientReadableStream<ListAndWatchResponse> = client
    .ListAndWatch!({});
  const iterator = stream[Symbol.asyncIterator]();
  stream.on("error", () => {});
  return {
    next: () => iterator.next(),
    cancel: () => stream.cancel(),
  };
}

/** Runs a plugin beside a kubelet, and what is done with both. */
async function withPlugin(
  host: SimulatedHost,
  act: (kubelet: Kubelet) => Promise<void>,
  iommufd = false,
): Promise<void> {
  await using kubelet = await Kubelet.start();
  const abort = new AbortController();
  const addresses = [CARD, SOUND, OTHER];
  const devices = new Devices(host, { resource: RESOURCE, addresses, iommufd });
  const running = runPlugin(RESOURCE, devices, {
    folder: kubelet.folder,
    interval: 20,
    signal: abort.signal,
    log: () => {},
  });
  try {
    await act(kubelet);
  } finally {
    abort.abort();
    await running;
  }
  const left = await Array.fromAsync(Deno.readDir(kubelet.folder));
  assertEquals(left.map(({ name }) => name), ["kubelet.sock"]);
}

/** Declares a test. The library of gRPC closes its channels by and by. */
function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

test("the device plugin offers each IOMMU group as a device, and says when that changes", async () => {
  const host = machine();
  await withPlugin(host, async (kubelet) => {
    const { version, endpoint, resourceName } = await kubelet.registered();
    assertEquals([version, resourceName], ["v1beta1", RESOURCE]);
    const client = kubelet.client(endpoint);
    const options = await ask(client, "GetDevicePluginOptions", {});
    assertEquals(options.preStartRequired, false);
    const list = watch(client);
    const healths = async () => {
      const { value } = await list.next();
      return (value as ListAndWatchResponse).devices.map(({ ID, health }) => [
        ID,
        health,
      ]);
    };
    assertEquals(await healths(), [[CARD, "Healthy"], [OTHER, "Unhealthy"]]);
    await host.take(OTHER);
    let now = await healths();
    while (now[1]![1] !== "Healthy") now = await healths();
    assertEquals(now, [[CARD, "Healthy"], [OTHER, "Healthy"]]);
    list.cancel();
    client.close();
  });
});

test("the device plugin gives a container the nodes of its devices", async () => {
  for (const iommufd of [false, true]) {
    await withPlugin(machine(), async (kubelet) => {
      const { endpoint } = await kubelet.registered();
      const client = kubelet.client(endpoint);
      const { containerResponses } = await ask(client, "Allocate", {
        containerRequests: [{ devicesIDs: [CARD] }],
      });
      assertEquals(containerResponses.length, 1);
      const [{ envs, devices }] = containerResponses;
      assertEquals(envs, {
        PCI_RESOURCE_EXAMPLE_COM_GPU: `${CARD},${SOUND}`,
      });
      assertEquals(
        devices.map(({ hostPath }: { hostPath: string }) => hostPath),
        iommufd
          ? ["/dev/iommu", "/dev/vfio/devices/vfio0", "/dev/vfio/devices/vfio1"]
          : ["/dev/vfio/vfio", "/dev/vfio/12"],
      );
      // deno-lint-ignore no-explicit-any
      for (const { containerPath, hostPath, permissions } of devices as any[]) {
        assertEquals([containerPath, permissions], [hostPath, "rw"]);
      }
      client.close();
    }, iommufd);
  }
});

test("the device plugin refuses devices that it does not have, or that the host has", async () => {
  await withPlugin(machine(), async (kubelet) => {
    const { endpoint } = await kubelet.registered();
    const client = kubelet.client(endpoint);
    const refused = async (id: string): Promise<grpc.ServiceError> => {
      const containerRequests = [{ devicesIDs: [id] }];
      try {
        await ask(client, "Allocate", { containerRequests });
      } catch (error) {
        return error as grpc.ServiceError;
      }
      throw new Error(`it gives ${id} to a container`);
    };
    const unknown = await refused("0000:09:00.0");
    assertEquals(unknown.code, grpc.status.INVALID_ARGUMENT);
    const used = await refused(OTHER);
    assertEquals(used.code, grpc.status.FAILED_PRECONDITION);
    assertStringIncludes(used.details, `${OTHER} is bound to e1000e`);
    client.close();
  });
});

test("the device plugin registers again when the kubelet starts anew", async () => {
  await withPlugin(machine(), async (kubelet) => {
    const { endpoint } = await kubelet.registered();
    await kubelet.restart();
    assertEquals((await kubelet.registered()).endpoint, endpoint);
    const client = kubelet.client(endpoint);
    const list = watch(client);
    const { value } = await list.next();
    assertEquals((value as ListAndWatchResponse).devices.length, 2);
    list.cancel();
    client.close();
  });
});

test("the device plugin ends when the kubelet refuses it", async () => {
  await using kubelet = await Kubelet.start();
  kubelet.refusal = "the resource is taken";
  const offer = { resource: RESOURCE, addresses: [CARD], iommufd: false };
  const running = runPlugin(RESOURCE, new Devices(machine(), offer), {
    folder: kubelet.folder,
    interval: 20,
    signal: new AbortController().signal,
    log: () => {},
  });
  const message = await running.then(() => "", ({ message }) => message);
  assertEquals(
    message,
    `the kubelet refuses ${RESOURCE}: the resource is taken`,
  );
});
