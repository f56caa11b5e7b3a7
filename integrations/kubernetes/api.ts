/**
 * The kubelet's API for device plugins, `v1beta1`, as far as it is used here.
 *
 * Names and numbers: `staging/src/k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1`
 * of Kubernetes.
 *
 * @module
 */

import { fromJSON, type grpc } from "./deps.ts";

/** The version that a plugin registers with. */
export const VERSION = "v1beta1";

/** The device can be given to a container. */
export const HEALTHY = "Healthy";
/** The device cannot be given to a container now. */
export const UNHEALTHY = "Unhealthy";

/** What a plugin tells the kubelet to find it. */
export interface RegisterRequest {
  readonly version: string;
  /** The name of its socket, in the kubelet's directory. */
  readonly endpoint: string;
  /** What a container asks for: `"example.com/gpu"`. */
  readonly resourceName: string;
}

/** A device that a container can get. */
export interface Device {
  readonly ID: string;
  readonly health: string;
  /** The NUMA node that it is on. */
  readonly topology?: { readonly nodes: readonly { readonly ID: number }[] };
}

/** The devices that there are. */
export interface ListAndWatchResponse {
  readonly devices: readonly Device[];
}

/** What containers of a pod are to get, by the devices' IDs. */
export interface AllocateRequest {
  readonly containerRequests: readonly {
    readonly devicesIDs: readonly string[];
  }[];
}

/** How the devices are given to a container. */
export interface ContainerAllocateResponse {
  readonly envs: Readonly<Record<string, string>>;
  readonly devices: readonly DeviceNode[];
}

/** A node that a container gets. */
export interface DeviceNode {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly permissions: string;
}

/** A field of a message, as protobufjs describes it. */
interface Field {
  readonly type: string;
  readonly id: number;
  readonly rule?: string;
  readonly keyType?: string;
}

const message = (fields: Readonly<Record<string, Field>>) => ({ fields });
const one = (type: string, id: number) => ({ type, id });
const many = (type: string, id: number) => ({ rule: "repeated", type, id });
const texts = (id: number) => ({ keyType: "string", type: "string", id });
const call = (requestType: string, responseType: string) => ({
  requestType,
  responseType,
  // The type demands one.
  comment: "",
});

const EMPTY = "Empty";

const DEFINITION = fromJSON({
  nested: {
    v1beta1: {
      nested: {
        [EMPTY]: message({}),
        RegisterRequest: message({
          version: one("string", 1),
          endpoint: one("string", 2),
          resourceName: one("string", 3),
          options: one("DevicePluginOptions", 4),
        }),
        DevicePluginOptions: message({
          preStartRequired: one("bool", 1),
          getPreferredAllocationAvailable: one("bool", 2),
        }),
        ListAndWatchResponse: message({ devices: many("Device", 1) }),
        Device: message({
          ID: one("string", 1),
          health: one("string", 2),
          topology: one("TopologyInfo", 3),
        }),
        TopologyInfo: message({ nodes: many("NUMANode", 1) }),
        NUMANode: message({ ID: one("int64", 1) }),
        AllocateRequest: message({
          containerRequests: many("ContainerAllocateRequest", 1),
        }),
        ContainerAllocateRequest: message({ devicesIDs: many("string", 1) }),
        AllocateResponse: message({
          containerResponses: many("ContainerAllocateResponse", 1),
        }),
        ContainerAllocateResponse: message({
          envs: texts(1),
          devices: many("DeviceSpec", 3),
        }),
        DeviceSpec: message({
          containerPath: one("string", 1),
          hostPath: one("string", 2),
          permissions: one("string", 3),
        }),
        Registration: {
          methods: { Register: call("RegisterRequest", EMPTY) },
        },
        DevicePlugin: {
          methods: {
            GetDevicePluginOptions: call(EMPTY, "DevicePluginOptions"),
            ListAndWatch: {
              ...call(EMPTY, "ListAndWatchResponse"),
              responseStream: true,
            },
            Allocate: call("AllocateRequest", "AllocateResponse"),
          },
        },
      },
    },
  },
}, { keepCase: true, longs: Number, defaults: true });

type Service = grpc.ServiceDefinition;

/** What a plugin serves. */
export const DevicePlugin = DEFINITION["v1beta1.DevicePlugin"] as Service;
/** What the kubelet serves. */
export const Registration = DEFINITION["v1beta1.Registration"] as Service;
