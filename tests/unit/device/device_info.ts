import { assertEquals, assertThrows } from "@std/assert";
import { readDeviceInfo } from "../../../lib/device/info/device_info.ts";
import {
  regionName,
  type RegionTypeName,
  regionTypeNamed,
} from "../../../lib/device/info/region_type.ts";
import { KernelError } from "../../../lib/kernel/errno.ts";
import {
  VFIO_DEVICE_FLAGS_AMBA,
  VFIO_DEVICE_FLAGS_AP,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_FLAGS_CCW,
  VFIO_DEVICE_FLAGS_CDX,
  VFIO_DEVICE_FLAGS_FSL_MC,
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_FLAGS_PLATFORM,
  vfio_device_info,
  VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP,
  vfio_device_info_cap_pci_atomic_comp,
  VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
  vfio_info_cap_header,
} from "../../../lib/uapi/vfio/all.ts";

/** Answers VFIO_DEVICE_GET_INFO with capabilities behind the struct. */
function device(flags: number, chain: readonly Uint8Array[] = []) {
  const length = chain.reduce((sum, { length }) => sum + length, 0);
  const argsz = vfio_device_info.size + length;
  return {
    ioctl(_: unknown, bytes: Uint8Array) {
      const fits = bytes.length >= argsz;
      vfio_device_info.encode(bytes, {
        argsz,
        flags,
        num_regions: 2,
        num_irqs: 1,
        cap_offset: fits && length > 0 ? vfio_device_info.size : 0,
      });
      let at = vfio_device_info.size;
      for (const capability of fits ? chain : []) {
        bytes.set(capability, at);
        at += capability.length;
      }
    },
  };
}

for (
  const [flags, api] of [
    [VFIO_DEVICE_FLAGS_PCI, "pci"],
    [VFIO_DEVICE_FLAGS_PLATFORM, "platform"],
    [VFIO_DEVICE_FLAGS_AMBA | VFIO_DEVICE_FLAGS_CAPS, "amba"],
    [VFIO_DEVICE_FLAGS_CCW, "ccw"],
    [VFIO_DEVICE_FLAGS_AP, "ap"],
    [VFIO_DEVICE_FLAGS_FSL_MC, "fsl-mc"],
    [VFIO_DEVICE_FLAGS_CDX, "cdx"],
    [0, undefined],
  ] as const
) {
  Deno.test(`readDeviceInfo() returns the kind of device when its flags are ${flags}`, () => {
    const info = readDeviceInfo(device(flags));
    assertEquals([info.api, info.pci], [api, api === "pci"]);
    assertEquals([info.regions, info.irqs], [2, 1]);
    assertEquals([info.atomics, info.capabilities], [[], []]);
  });
}

Deno.test("readDeviceInfo() returns all capabilities, and decodes the AtomicOps", () => {
  const util = new Uint8Array(16).fill(7);
  const { size } = vfio_device_info;
  vfio_info_cap_header.encode(util, {
    id: VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
    version: 1,
    next: size + 16,
  });
  const atomic = vfio_device_info_cap_pci_atomic_comp.alloc({
    header: { id: VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, version: 1 },
    flags: 0b101,
  });
  const info = readDeviceInfo(device(VFIO_DEVICE_FLAGS_PCI, [util, atomic]));
  assertEquals(info.atomics, [32, 128]);
  assertEquals(info.capabilities, [
    { id: VFIO_DEVICE_INFO_CAP_ZPCI_UTIL, bytes: util },
    { id: VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP, bytes: atomic },
  ]);
});

Deno.test("readDeviceInfo() throws EBADMSG when the chain leads back", () => {
  const loop = vfio_info_cap_header.alloc({ next: vfio_device_info.size });
  const error = assertThrows(
    () => readDeviceInfo(device(VFIO_DEVICE_FLAGS_PCI, [loop])),
    KernelError,
  );
  assertEquals(error.code, "EBADMSG");
});

Deno.test("regionName() names fixed regions by what the device is used as", () => {
  const names = (api: "ccw" | "pci" | "platform" | undefined) =>
    [0, 5, 6, 7, 8, 9].map((index) => regionName(api, index, undefined));
  assertEquals(names("pci"), [
    "BAR 0",
    "BAR 5",
    "ROM",
    "config",
    "VGA",
    "region 9",
  ]);
  const numbers = [5, 6, 7, 8, 9].map((index) => `region ${index}`);
  assertEquals(names("ccw"), ["I/O", ...numbers]);
  assertEquals(names("platform"), ["region 0", ...numbers]);
  assertEquals(names(undefined), ["region 0", ...numbers]);
});

for (
  const [type, subtype, name] of [
    [0x8000_8086, 1, "intel-opregion"],
    [0x8000_8086, 2, "intel-host-config"],
    [0x8000_8086, 3, "intel-lpc-config"],
    [1, 1, "edid"],
    [2, 1, "ccw-async-commands"],
    [2, 2, "ccw-schib"],
    [2, 3, "ccw-reports"],
  ] as const
) {
  Deno.test(`regionName() returns "${name}" when the type is that`, () => {
    assertEquals(regionName("pci", 9, { type, subtype }), name);
    assertEquals(regionTypeNamed(name satisfies RegionTypeName), {
      type,
      subtype,
    });
    assertEquals(regionName("pci", 9, { type, subtype: 99 }), "region 9");
  });
}
