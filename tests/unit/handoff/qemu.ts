import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertThrows } from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import {
  qemuArguments,
  type QemuDevice,
  type QemuSyntax,
} from "../../../lib/handoff/qemu.ts";
import { qemuLockedMemory } from "../../../lib/handoff/qemu_memory.ts";
import { HostDevice } from "../../../lib/host/device.ts";

const A = "0000:00:03.0";
const B = "0000:00:04.0";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const PARENT = "/sys/devices/virtual/mtty/mtty";

const host = simulate({
  functions: { [A]: { id: "8086:10d3" }, [B]: { id: "8086:10d3" } },
  mediatedTypes: { [PARENT]: { "mtty-1": { instances: 2 } } },
  mediated: { [UUID]: { parent: PARENT, type: "mtty-1" } },
});
const a: QemuDevice = { device: host.find(A) };
const b: QemuDevice = { device: host.find(B) };
const mediated: QemuDevice = {
  device: host.find(`/sys/bus/mdev/devices/${UUID}`),
};
const MIB = 1n << 20n;

Deno.test("qemuArguments() allows a balloon beside a mediated device that pins on demand", () => {
  const devices = [{ ...mediated, pinsOnDemand: true }];
  assertEquals(qemuArguments(devices, { by: "legacy" }), [
    "-device",
    `vfio-pci,id=hd0,sysfsdev=/sys/bus/mdev/devices/${UUID},` +
    "x-balloon-allowed=on",
  ]);
});

Deno.test("qemuArguments() names functions by their addresses when QEMU opens them the legacy way", () => {
  assertEquals(qemuArguments([a, b], { by: "legacy" }), [
    "-device",
    `vfio-pci,id=hd0,host=${A}`,
    "-device",
    `vfio-pci,id=hd1,host=${B}`,
  ]);
});

Deno.test("qemuArguments() shares one iommufd among all functions when QEMU opens it", () => {
  assertEquals(qemuArguments([a, b], { by: "iommufd" }), [
    "-object",
    "iommufd,id=iommufd0",
    "-device",
    `vfio-pci,id=hd0,host=${A},iommufd=iommufd0`,
    "-device",
    `vfio-pci,id=hd1,host=${B},iommufd=iommufd0`,
  ]);
});

Deno.test("qemuArguments() names only descriptors when QEMU inherits them", () => {
  const access = { by: "fds", iommufd: 22, devices: [23, 24] } as const;
  assertEquals(qemuArguments([a, b], access), [
    "-object",
    "iommufd,id=iommufd0,fd=22",
    "-device",
    "vfio-pci,id=hd0,iommufd=iommufd0,fd=23",
    "-device",
    "vfio-pci,id=hd1,iommufd=iommufd0,fd=24",
  ]);
});

Deno.test("qemuArguments() takes iommufd by auto when the host and each device have it, else legacy", () => {
  const functions = {
    [A]: { id: "8086:10d3", driver: "vfio-pci" },
    [B]: { id: "8086:10d3", driver: "vfio-pci" },
  };
  for (
    const [topology, by] of [
      [{ functions }, "iommufd"],
      [{ functions, kernel: { release: "6.1.0" } }, "legacy"],
      [{
        functions: { ...functions, [B]: { ...functions[B], group: null } },
        kernel: { release: "6.12.0", unsafeNoIommu: true },
      }, "legacy"],
    ] as const
  ) {
    const devices = simulate(topology).functions()
      .map((device) => ({ device }));
    assertEquals(
      qemuArguments(devices, { by: "auto" }),
      qemuArguments(devices, { by }),
    );
  }
  assertEquals(qemuArguments([], { by: "auto" }), []);
});

Deno.test("qemuArguments() throws WRONG_DRIVER by auto when a device is not bound yet", () => {
  const error = assertThrows(
    () => qemuArguments([mediated, a], { by: "auto" }),
    VfioError,
  );
  assertEquals([error.code, error.device], ["WRONG_DRIVER", A]);
});

Deno.test("qemuArguments() names a mediated device by its path", () => {
  const sysfsdev = `sysfsdev=/sys/bus/mdev/devices/${UUID}`;
  assertEquals(qemuArguments([mediated], { by: "legacy" }), [
    "-device",
    `vfio-pci,id=hd0,${sysfsdev}`,
  ]);
  assertEquals(
    qemuArguments([mediated], { by: "iommufd" }).at(-1),
    `vfio-pci,id=hd0,${sysfsdev},iommufd=iommufd0`,
  );
});

Deno.test("qemuArguments() throws for a mediated device when QEMU inherits descriptors", () => {
  const access = { by: "fds", iommufd: 3, devices: [4] } as const;
  const error = assertThrows(
    () => qemuArguments([mediated], access),
    VfioError,
  );
  assertEquals(error.code, "NOT_SUPPORTED");
  assertEquals(error.device, UUID);
});

Deno.test("qemuArguments() is empty when there are no devices", () => {
  assertEquals(qemuArguments([], { by: "iommufd" }), []);
});

Deno.test("qemuArguments() adds properties, and doubles the commas in their values", () => {
  const properties = {
    addr: "05.0",
    romfile: "/roms/a,b",
    multifunction: true,
    "x-no-mmap": false,
    bootindex: 1,
  };
  assertEquals(
    qemuArguments([{ ...a, id: "nic", properties }], { by: "legacy" }),
    [
      "-device",
      `vfio-pci,id=nic,host=${A},addr=05.0,romfile=/roms/a,,b,` +
      "multifunction=on,x-no-mmap=off,bootindex=1",
    ],
  );
});

Deno.test("qemuArguments() writes descriptors as strings when it writes JSON", () => {
  const access = { by: "fds", iommufd: 22, devices: [23] } as const;
  const properties = { romfile: "/roms/a,b", multifunction: true };
  const [, object, , device] = qemuArguments([{ ...a, properties }], access, {
    syntax: "json",
  });
  assertEquals(JSON.parse(object!), {
    "qom-type": "iommufd",
    id: "iommufd0",
    fd: "22",
  });
  assertEquals(JSON.parse(device!), {
    driver: "vfio-pci",
    id: "hd0",
    iommufd: "iommufd0",
    fd: "23",
    ...properties,
  });
});

Deno.test("qemuArguments() writes JSON when a property has a structure", () => {
  const properties = { "x-list": [1, 2] };
  const [, first, , second] = qemuArguments([{ ...a, properties }, b], {
    by: "legacy",
  });
  assertEquals(JSON.parse(first!)["x-list"], [1, 2]);
  assertEquals(second, `vfio-pci,id=hd1,host=${B}`);
});

const WRONG: ReadonlyArray<
  readonly [string, readonly QemuDevice[], QemuSyntax?]
> = [
  ["an id that QEMU refuses", [{ ...a, id: "0a" }]],
  ["an id that would add a property", [{ ...a, id: "a,addr=5" }]],
  ["one id for two devices", [{ ...a, id: "x" }, { ...b, id: "x" }]],
  ["the iommufd's id", [{ ...a, id: "iommufd0" }]],
  ["a default id that is taken", [{ ...a, id: "hd1" }, b]],
  ["a property that it sets itself", [{ ...a, properties: { host: B } }]],
  ["a function that is said to pin on demand", [{ ...a, pinsOnDemand: true }]],
  ["a malformed property name", [{ ...a, properties: { "a=b": 1 } }]],
  [
    "a structure in keyval syntax",
    [{ ...a, properties: { x: [1] } }],
    { syntax: "keyval" },
  ],
  [
    "a device of another bus",
    [{ device: new HostDevice(host, "/sys/devices/platform/a", "platform") }],
  ],
];

for (const [what, devices, options] of WRONG) {
  Deno.test(`qemuArguments() throws a TypeError when it is given ${what}`, () => {
    assertThrows(
      () => qemuArguments(devices, { by: "iommufd" }, options),
      TypeError,
    );
  });
}

Deno.test("qemuArguments() throws a RangeError when the descriptors do not fit the devices", () => {
  for (
    const [iommufd, ...devices] of [[3], [3, 4, 5], [3, 3], [-1, 4], [3, 4.5]]
  ) {
    const access = { by: "fds", iommufd: iommufd!, devices } as const;
    assertThrows(() => qemuArguments([a], access), RangeError);
  }
});

Deno.test("qemuLockedMemory() returns the machine's memory plus 1 GiB when there are devices", () => {
  const cases: ReadonlyArray<readonly [string[], bigint]> = [
    [[], 128n],
    [["-m", "64"], 64n],
    [["-m", "64M"], 64n],
    [["-m", "1.5G", "-smp", "2"], 1536n],
    [["-m", "size=2G"], 2048n],
    [["-m", "1G,slots=2,maxmem=4G"], 4096n],
    [["-m", "1G", "--m", "2g"], 2048n],
  ];
  for (const [args, mebibytes] of cases) {
    assertEquals(
      qemuLockedMemory(args, 1),
      (mebibytes + 1024n) * MIB,
      args.join(" "),
    );
    assertEquals(qemuLockedMemory(args, 0), 0n);
  }
  assertEquals(qemuLockedMemory(["-m", "1G"], 3), 2048n * MIB);
});

Deno.test("qemuLockedMemory() counts the memory for each device when they are behind a virtual IOMMU", () => {
  const args = ["-device", "intel-iommu,caching-mode=on", "-m", "1G"];
  assertEquals(qemuLockedMemory(args, 3), 4096n * MIB);
});

Deno.test("qemuLockedMemory() throws a TypeError when the size is malformed", () => {
  for (const size of ["", "much", "1X"]) {
    assertThrows(() => qemuLockedMemory(["-m", size], 1), TypeError);
  }
});
