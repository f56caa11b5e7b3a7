import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { simulate } from "../../../lib/sim/mod.ts";
import {
  A,
  B,
  CARD,
  MACHINE,
  MEDIATED,
  NIC,
  refused,
  text,
  withFunctions,
} from "../handoff_bench.ts";

Deno.test("emit() writes what KubeVirt permits, and what a machine asks for", () => {
  assertEquals(JSON.parse(text("kubevirt", [A, MEDIATED])), {
    apiVersion: "kubevirt.io/v1",
    kind: "KubeVirt",
    metadata: { name: "kubevirt", namespace: "kubevirt" },
    spec: {
      configuration: {
        permittedHostDevices: {
          pciHostDevices: [{
            pciVendorSelector: "10DE:1EB8",
            resourceName: "passthru.local/vfio-10de-1eb8",
            externalResourceProvider: false,
          }],
          mediatedDevices: [{
            mdevNameSelector: "GVTg_V5_4",
            resourceName: "passthru.local/vfio-gvtg_v5_4",
            externalResourceProvider: false,
          }],
        },
      },
    },
  });
  const host = withFunctions({ [B]: { ...CARD, group: 13 } });
  const name = "nvidia.com/T4";
  const { spec } = JSON.parse(
    text("kubevirt-machine", [A, B], { name }, host),
  );
  assertEquals(spec.template.spec.domain.devices.hostDevices, [
    { name: "hd0", deviceName: name },
    { name: "hd1", deviceName: name },
  ]);
});

Deno.test("emit() refuses one of two identical cards for KubeVirt, which cannot tell them apart", () => {
  const host = withFunctions({ [B]: { ...CARD, group: 13 } });
  assertStringIncludes(
    refused("NOT_SUPPORTED", "kubevirt", [A], {}, host),
    `KubeVirt selects by 10DE:1EB8, by which it takes ${B} as well`,
  );
  const oneGroup = withFunctions({ [B]: { ...CARD, group: 12 } });
  assertStringIncludes(
    refused("NOT_SUPPORTED", "kubevirt", [A, B], {}, oneGroup),
    `${A} is in group 12 too, with the same ids`,
  );
  const variant = withFunctions({ [B]: { ...CARD, driver: "mlx5_vfio_pci" } });
  assertStringIncludes(
    refused("NOT_SUPPORTED", "kubevirt", [B], {}, variant),
    "mlx5_vfio_pci has it",
  );
});

Deno.test("emit() refuses a name that is no resource of Kubernetes", () => {
  const names = [
    ...["gpu", "/gpu", "a/b/c", "Example.com/gpu", "kubernetes.io/gpu"],
    ...["x.kubernetes.io/gpu", "requests.a.com/gpu", "a.com/-x", "a.com/x_"],
    `a.com/${"x".repeat(64)}`,
  ];
  for (const name of names) {
    for (const format of ["kubevirt", "sriov-device-plugin", "dra"] as const) {
      assertThrows(() => text(format, [NIC], { name }), TypeError, "The name");
    }
  }
});

Deno.test("emit() writes the configuration of the SR-IOV device plugin", () => {
  const name = "example.com/vf";
  assertEquals(JSON.parse(text("sriov-device-plugin", [NIC], { name })), {
    resourceList: [{
      resourcePrefix: "example.com",
      resourceName: "vf",
      deviceType: "netDevice",
      selectors: [{
        vendors: ["8086"],
        devices: ["10ca"],
        drivers: ["vfio-pci"],
        pciAddresses: [NIC],
      }],
    }],
  });
  assertStringIncludes(
    refused("NOT_SUPPORTED", "sriov-device-plugin", [A]),
    "this is of class 03",
  );
  const host = withFunctions({ [B]: { ...CARD, class: 0x120000 } });
  assertStringIncludes(
    refused("NOT_SUPPORTED", "sriov-device-plugin", [NIC, B], {}, host),
    `this is accelerator, and ${NIC} is netDevice`,
  );
  assertStringIncludes(
    refused("NOT_SUPPORTED", "sriov-device-plugin", [MEDIATED]),
    "takes PCI functions",
  );
});

Deno.test("emit() writes a ResourceSlice and a DeviceClass", () => {
  const { items: [slice, deviceClass] } = JSON.parse(text("dra", [A]));
  assertEquals(slice, {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { name: "node-a-passthru.local" },
    spec: {
      driver: "passthru.local",
      nodeName: "node-a",
      pool: { name: "node-a", generation: 1, resourceSliceCount: 1 },
      devices: [{
        name: "pci-0000-01-00-0",
        attributes: {
          "resource.kubernetes.io/pciBusID": { string: A },
          "resource.kubernetes.io/pcieRoot": { string: "pci0000:01" },
          vendor: { string: "10de" },
          device: { string: "1eb8" },
          class: { string: "030200" },
          driver: { string: "vfio-pci" },
          iommuGroup: { int: 12 },
          numaNode: { int: 1 },
        },
      }],
    },
  });
  assertEquals(deviceClass, {
    apiVersion: "resource.k8s.io/v1",
    kind: "DeviceClass",
    metadata: { name: "vfio" },
    spec: {
      selectors: [{
        cel: { expression: 'device.driver == "passthru.local"' },
      }],
    },
  });
});

Deno.test("emit() refuses what DRA cannot express", () => {
  refused("NOT_SUPPORTED", "dra", [A], { consumer: "1.33" });
  const long = `${"a".repeat(60)}.com/x`;
  assertThrows(() => text("dra", [A], { name: long }), TypeError, "at most 63");
  assertThrows(() => text("dra", [A], { node: "A_b" }), TypeError, "DNS name");
  const nameless = simulate({ ...MACHINE, files: {} });
  assertStringIncludes(
    refused("NOT_SUPPORTED", "dra", [A], {}, nameless),
    "--node NAME",
  );
  const many = Object.fromEntries(
    Array.from({ length: 129 }, (_, i) => [
      `0000:${(0x10 + (i >> 5)).toString(16)}:${
        (i & 31).toString(16).padStart(2, "0")
      }.0`,
      CARD,
    ]),
  );
  assertStringIncludes(
    refused("NOT_SUPPORTED", "dra", Object.keys(many), {}, withFunctions(many)),
    "at most 128 devices, and these are 129",
  );
});

Deno.test("emit() writes an inventory of Ansible", () => {
  assertEquals(JSON.parse(text("ansible", [A], { node: "web-1" })), {
    all: {
      hosts: {
        "web-1": {
          passthru_devices: [{
            name: A,
            driver: "vfio-pci",
            iommu_group: 12,
            bus: "pci",
            vendor: "10de",
            device: "1eb8",
            subsystem_vendor: "10de",
            subsystem_device: "0000",
            class: "030200",
            numa_node: 1,
          }],
        },
      },
    },
  });
});
