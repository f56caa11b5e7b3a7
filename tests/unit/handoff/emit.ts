import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  emit,
  HANDOFF_FORMATS,
  type HandoffFormat,
} from "../../../lib/handoff/mod.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import {
  A,
  B,
  CARD,
  GPU,
  MACHINE,
  MEDIATED,
  NIC,
  refused,
  text,
  UUID,
  withFunctions,
} from "../handoff_bench.ts";

Deno.test("emit() writes QEMU's arguments", () => {
  assertEquals(
    text("qemu", [A, MEDIATED]),
    `-device vfio-pci,id=hd0,host=${A} ` +
      `-device vfio-pci,id=hd1,sysfsdev=${MEDIATED}\n`,
  );
  assertEquals(
    text("qemu", [A], { iommufd: true, consumer: "9.0" }),
    "-object iommufd,id=iommufd0 " +
      `-device vfio-pci,id=hd0,host=${A},iommufd=iommufd0\n`,
  );
});

Deno.test("emit() writes libvirt's host devices", () => {
  assertEquals(
    text("libvirt", [NIC, MEDIATED]),
    `<hostdev mode='subsystem' type='pci' managed='no'>
  <source>
    <address domain='0x0000' bus='0x03' slot='0x10' function='0x1'/>
  </source>
</hostdev>
<hostdev mode='subsystem' type='mdev' model='vfio-pci'>
  <source>
    <address uuid='${UUID}'/>
  </source>
</hostdev>
`,
  );
  assertStringIncludes(
    text("libvirt", [NIC], { managed: true, iommufd: true }),
    "managed='yes'>\n  <driver iommufd='yes'/>\n  <source>",
  );
});

Deno.test("emit() names a variant driver when libvirt binds the function itself", () => {
  const host = withFunctions({ [B]: { ...CARD, driver: "mlx5_vfio_pci" } });
  assertStringIncludes(
    text("libvirt", [B], { managed: true }, host),
    "<driver model='mlx5_vfio_pci'/>",
  );
  assertEquals(text("libvirt", [B], {}, host).includes("<driver"), false);
  const message = refused("NOT_SUPPORTED", "libvirt", [B], {
    consumer: "9.0",
  }, host);
  assertStringIncludes(message, "libvirt 10.0 has");
});

Deno.test("emit() tells that an old libvirt ignores iommufd, and refuses one that is named", () => {
  const host = simulate(MACHINE);
  const { notes } = emit("libvirt", [host.find(A)], { iommufd: true });
  assertStringIncludes(notes[0]!, "libvirt before 12.1 ignores");
  for (const consumer of ["12.0.9", "9.0"]) {
    const options = { iommufd: true, consumer };
    assertStringIncludes(
      refused("NOT_SUPPORTED", "libvirt", [A], options),
      `libvirt ${consumer} has no iommufd`,
    );
  }
  for (const consumer of ["12.1", "12.1.0", "13", "12.10"]) {
    text("libvirt", [A], { iommufd: true, consumer });
  }
});

Deno.test("emit() tells which other member of a group keeps a libvirt domain from starting", () => {
  const sound = "0000:02:00.1";
  const host = withFunctions({
    [B]: { ...CARD, driver: "nouveau", group: 20 },
    [sound]: { id: "10de:10f0", driver: "snd_hda_intel", group: 20 },
  });
  const notes = (names: readonly string[]) =>
    emit("libvirt", names.map((name) => host.find(name)), { managed: true })
      .notes;
  assertEquals(notes([B]), [
    "libvirt binds only what is listed, and the domain does not start while " +
    `${sound}, of the same IOMMU group, is on snd_hda_intel`,
  ]);
  assertEquals(notes([B, sound]), []);
});

Deno.test("emit() writes a node device of libvirt", () => {
  assertEquals(
    text("libvirt-nodedev", [MEDIATED]),
    `<device>
  <name>mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1001_0000_00_02_0</name>
  <parent>pci_0000_00_02_0</parent>
  <capability type='mdev'>
    <type id='i915-GVTg_V5_4'/>
    <uuid>${UUID}</uuid>
  </capability>
</device>
`,
  );
  assertEquals(
    text("libvirt-nodedev", [A]),
    `<device>
  <name>pci_0000_01_00_0</name>
  <path>/sys/devices/pci0000:01/0000:01:00.0</path>
  <driver><name>vfio-pci</name></driver>
  <capability type='pci'>
    <class>0x030200</class>
    <domain>0</domain>
    <bus>1</bus>
    <slot>0</slot>
    <function>0</function>
    <product id='0x1eb8'/>
    <vendor id='0x10de'/>
    <iommuGroup number='12'>
      <address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </iommuGroup>
  </capability>
</device>
`,
  );
  assertThrows(() => text("libvirt-nodedev", [A, NIC]), TypeError, "has one");
});

Deno.test("emit() writes cloud-hypervisor's arguments and the body of its API", () => {
  const path = `/sys/bus/pci/devices/${A}`;
  const options = { iommufd: true };
  assertEquals(
    text("cloud-hypervisor", [A, MEDIATED], options),
    `--platform iommufd=on --device path=${path},id=hd0 ` +
      `path=${MEDIATED},id=hd1\n`,
  );
  assertEquals(JSON.parse(text("cloud-hypervisor-api", [A], options)), {
    platform: { iommufd: true },
    devices: [{ path, id: "hd0" }],
  });
  assertEquals(JSON.parse(text("cloud-hypervisor-api", [A])), {
    devices: [{ path, id: "hd0" }],
  });
});

Deno.test("emit() writes a CDI specification by groups, and by the devices' own nodes", () => {
  const node = (path: string) => ({
    deviceNodes: [{ path, permissions: "rw" }],
  });
  assertEquals(JSON.parse(text("cdi", [A, MEDIATED])), {
    cdiVersion: "0.5.0",
    kind: "passthru.local/vfio",
    devices: [
      { name: A, containerEdits: node("/dev/vfio/12") },
      { name: UUID, containerEdits: node("/dev/vfio/0") },
    ],
    containerEdits: node("/dev/vfio/vfio"),
  });
  const host = simulate(MACHINE);
  const cdev = host.find(NIC).vfioDevice;
  const options = { iommufd: true, name: "example.com/nic" };
  assertEquals(JSON.parse(text("cdi", [NIC], options, host)), {
    cdiVersion: "0.5.0",
    kind: "example.com/nic",
    devices: [{
      name: NIC,
      containerEdits: node(`/dev/vfio/devices/${cdev}`),
    }],
    containerEdits: node("/dev/iommu"),
  });
  const { notes } = emit("cdi", [host.find(NIC)]);
  assertStringIncludes(notes[0]!, "--ulimit memlock=-1:-1");
});

Deno.test("emit() refuses what CDI and its readers refuse", () => {
  for (
    const name of ["vfio", "1a/b", "a/b.c", "a/b/c", "a-/b", "a/", "a b/c"]
  ) {
    assertThrows(() => text("cdi", [A], { name }), TypeError, "The kind is");
  }
  assertStringIncludes(
    refused("NOT_SUPPORTED", "cdi", [A], { consumer: "0.4" }),
    "CDI 0.5.0 has them",
  );
  assertStringIncludes(
    refused("WRONG_DRIVER", "cdi", [GPU]),
    "i915 has it",
  );
  const old = simulate({ ...MACHINE, kernel: { release: "6.1.0" } });
  refused("BACKEND_UNAVAILABLE", "cdi", [A], { iommufd: true }, old);
});

Deno.test("emit() writes a unit that owns the devices while it runs", () => {
  const command = ["/usr/bin/deno", "run", "50% of $HOME", "file:///p.ts"];
  assertEquals(
    text("systemd", [A, MEDIATED], { name: "desk", command }),
    `[Unit]
Description=Device passthrough: ${A} ${UUID}
After=systemd-modules-load.service

[Service]
Type=oneshot
RemainAfterExit=yes
StandardInput=data
StandardInputText={"functions":[{"select":"${A}","pin":{"id":"10de:1eb8"},` +
      `"driver":"vfio-pci"}],"mediated":[{"uuid":"${UUID}",` +
      `"parent":"${GPU}","type":"i915-GVTg_V5_4"}]}
ExecStart=/usr/bin/deno run "50%% of $$HOME" file:///p.ts apply --name desk -
ExecStop=/usr/bin/deno run "50%% of $$HOME" file:///p.ts restore --name desk
`,
  );
  for (const command of [[], ["./passthru"], ["-x"], ["a/b"], ["x", "a\nb"]]) {
    assertThrows(
      () => text("systemd", [A], { command }),
      TypeError,
      "The command",
    );
  }
  for (const name of ["", "a b", "-a", "a/b"]) {
    assertThrows(() => text("systemd", [A], { name }), TypeError, "The name");
  }
});

Deno.test("emit() writes variables without quotes", () => {
  assertEquals(
    text("env", [A, MEDIATED], { name: "nvidia.com/T4" }),
    `PASSTHRU_DEVICES=${A},${UUID}
PASSTHRU_GROUPS=12,0
PASSTHRU_NODES=/dev/vfio/vfio,/dev/vfio/12,/dev/vfio/0
PCI_RESOURCE_NVIDIA_COM_T4=${A}
MDEV_PCI_RESOURCE_NVIDIA_COM_T4=${UUID}
`,
  );
  assertThrows(() => text("env", [A], { name: "a-b" }), TypeError, "variable");
});

Deno.test("emit() refuses an unknown format, no device, one twice, and no version", () => {
  const unknown = "libvrt" as HandoffFormat;
  assertThrows(() => text(unknown, [A]), TypeError, 'did you mean "libvirt"?');
  for (const format of HANDOFF_FORMATS) {
    assertThrows(() => text(format, []), TypeError, "No device");
    assertThrows(() => text(format, [A, A]), TypeError, "is there twice");
  }
  const consumer = "new";
  assertThrows(() => text("qemu", [A], { consumer }), TypeError, '"new"');
});

Deno.test("emit() refuses an option that a format does not have", () => {
  assertStringIncludes(
    refused("NOT_SUPPORTED", "kubevirt", [A], { iommufd: true }),
    "kubevirt has no iommufd",
  );
  assertStringIncludes(
    refused("NOT_SUPPORTED", "qemu", [A], { managed: true }),
    "with it there are libvirt",
  );
  text("kubevirt", [A], { iommufd: false });
});

Deno.test("emit() refuses options of a script without types", () => {
  for (
    const [options, message] of [
      [{ managed: "no" }, 'managed is "no": expected true or false'],
      [{ iommufd: 1 }, "iommufd is 1: expected true or false"],
      [{ name: null }, "name is null: expected a text"],
      [{ node: {} }, "node is {}: expected a text"],
      [{ consumer: 9 }, 'consumer is 9: expected a text such as "9.0"'],
      [{ command: "passthru" }, 'is "passthru": expected a list of words'],
      [{ command: [1] }, "is [1]: expected a list of words"],
      [{ managd: true }, 'There is no option "managd": expected iommufd,'],
    ] as readonly [object, string][]
  ) {
    for (const format of HANDOFF_FORMATS) {
      assertThrows(() => text(format, [A], options), TypeError, message);
    }
  }
});

Deno.test("emit() refuses a device of another bus in every format", () => {
  const host = simulate({
    ...MACHINE,
    devices: { "platform/fe210000.ethernet": {} },
  });
  const path = "/sys/bus/platform/devices/fe210000.ethernet";
  for (const format of HANDOFF_FORMATS) {
    const error = assertThrows(() => text(format, [path], {}, host), Error);
    assertStringIncludes(error.message, "fe210000.ethernet");
  }
});
