/**
 * What is handed over, checked by the programs that read it, where they are
 * installed: libvirt's schemas, systemd, Ansible, CDI's schema, and the schema
 * of cloud-hypervisor's API.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Ajv2020 } from "ajv/dist/2020.js";
import {
  emit,
  type HandoffFormat,
  type HandoffOptions,
} from "../../lib/handoff/mod.ts";
import { simulate } from "../../lib/sim/mod.ts";
import { onPath } from "./programs.ts";

const GPU = "0000:00:02.0";
const A = "0000:01:00.0";
const B = "0000:03:10.1";
const UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
const MEDIATED = `/sys/bus/mdev/devices/${UUID}`;

const host = simulate({
  functions: {
    [GPU]: { id: "8086:5912", class: 0x030000, driver: "i915" },
    [A]: { id: "10de:1eb8", class: 0x030200, driver: "vfio-pci", group: 12 },
    [B]: { id: "15b3:101e", class: 0x020000, driver: "mlx5_vfio_pci" },
    "10000:e1:00.0": { id: "8086:0a54", class: 0x010802, driver: "vfio-pci" },
  },
  mediatedTypes: { [GPU]: { "i915-GVTg_V5_4": { instances: 2 } } },
  mediated: { [UUID]: { parent: GPU, type: "i915-GVTg_V5_4" } },
});

function text(
  format: HandoffFormat,
  devices: readonly string[],
  options: HandoffOptions = {},
): string {
  return emit(format, devices.map((name) => host.find(name)), options).text;
}

/** Runs a program on a file. */
async function checked(
  name: string,
  contents: string,
  program: string,
  ...args: readonly string[]
): Promise<{ readonly code: number; readonly out: string }> {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/${name}`;
    await Deno.writeTextFile(path, contents);
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args: args.map((word) => word === "FILE" ? path : word),
    }).output();
    const decoder = new TextDecoder();
    return { code, out: decoder.decode(stdout) + decoder.decode(stderr) };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Declares a test that is skipped where a program is missing, and says so. */
function testBy(program: string, name: string, fn: () => Promise<void>): void {
  const ignore = !onPath(program);
  const why = ignore ? ` (skipped: ${program} is not installed)` : "";
  Deno.test({ name: `${name}${why}`, ignore, fn });
}

const validate = (contents: string, schema: string) =>
  checked("x.xml", contents, "virt-xml-validate", "FILE", schema);

/** A domain with devices. */
function domain(devices: string): string {
  return `<domain type='kvm'><name>t</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>
${devices}</devices></domain>
`;
}

testBy(
  "virt-xml-validate",
  "emit() writes host devices that libvirt's schema accepts",
  async () => {
    const devices = [A, B, "10000:e1:00.0", MEDIATED];
    const written = text("libvirt", devices);
    const { code, out } = await validate(domain(written), "domain");
    assertEquals(code, 0, out);
    const managed = text("libvirt", [A], { managed: true });
    assertEquals((await validate(domain(managed), "domain")).code, 0);
    // It reports an error, too.
    const wrong = written.replace("slot='0x00'", "slot='0x20'");
    assertEquals((await validate(domain(wrong), "domain")).code, 3);
  },
);

testBy(
  "virt-xml-validate",
  "emit() writes node devices that libvirt's schema accepts",
  async () => {
    for (const device of [A, B, MEDIATED]) {
      const written = text("libvirt-nodedev", [device]);
      const { code, out } = await validate(written, "nodedev");
      assertEquals(code, 0, out);
    }
  },
);

testBy(
  "virsh",
  "emit() writes host devices that libvirt defines",
  async () => {
    const written = text("libvirt", [A, MEDIATED]);
    const define = (contents: string) =>
      checked("x.xml", contents, "virsh", ...[
        ...["-c", "test:///default", "define", "--validate", "FILE"],
      ]);
    const { code, out } = await define(
      domain(written).replace("type='kvm'", "type='test'"),
    );
    assertEquals(code, 0, out);
  },
);

testBy(
  "systemd-analyze",
  "emit() writes a unit that systemd accepts",
  async () => {
    const command = ["/bin/true", "50% of $HOME; a \\ b", "--allow-ffi"];
    const written = text("systemd", [A, MEDIATED], { command });
    const verify = (contents: string) =>
      checked("desk.service", contents, "systemd-analyze", ...[
        ...["verify", "--man=no", "--recursive-errors=no", "FILE"],
      ]);
    assertEquals(await verify(written), { code: 0, out: "" });
    const wrong = await verify(written.replace("StandardInputText", "Stdin"));
    assertStringIncludes(wrong.out, "Stdin");
  },
);

testBy(
  "ansible-inventory",
  "emit() writes an inventory that Ansible reads",
  async () => {
    const written = text("ansible", [A, MEDIATED], { node: "web-1" });
    const { code, out } = await checked(
      "hosts.json",
      written,
      "ansible-inventory",
      ...["-i", "FILE", "--host", "web-1"],
    );
    assertEquals(code, 0, out);
    assertEquals(
      JSON.parse(out),
      JSON.parse(written).all.hosts["web-1"],
    );
  },
);

/** Of Debian's golang-tags.cncf-container-device-interface-dev. */
const CDI_SCHEMA =
  "/usr/share/gocode/src/tags.cncf.io/container-device-interface/schema/schema.json";

async function cdiSchema(): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(CDI_SCHEMA);
  } catch {
    return undefined;
  }
}

const cdi = await cdiSchema();

Deno.test({
  name: "emit() writes a specification that CDI's schema accepts" +
    (cdi === undefined ? ` (skipped: there is no ${CDI_SCHEMA})` : ""),
  ignore: cdi === undefined,
  async fn() {
    const defs = await Deno.readTextFile(
      CDI_SCHEMA.replace("schema.json", "defs.json"),
    );
    const ajv = new Ajv2020({ strict: false, validateFormats: false });
    const { $schema: _, ...schema } = JSON.parse(cdi!);
    const { $schema: __, ...definitions } = JSON.parse(defs);
    ajv.addSchema(definitions, "defs.json");
    const isValid = ajv.compile(schema);
    for (const iommufd of [false, true]) {
      const spec = JSON.parse(text("cdi", [A, B], { iommufd }));
      assertEquals(isValid(spec), true, JSON.stringify(isValid.errors));
    }
    assertEquals(isValid({ cdiVersion: "0.5.0" }), false);
  },
});

/**
 * `DeviceConfig` and what of `PlatformConfig` is about devices, of
 * `vmm/src/api/openapi/cloud-hypervisor.yaml`, in which no other keys are.
 */
const VM_CONFIG = {
  type: "object",
  additionalProperties: false,
  properties: {
    platform: {
      type: "object",
      additionalProperties: false,
      properties: {
        iommufd: { type: "boolean" },
        vfio_p2p_dma: { type: "boolean" },
      },
    },
    devices: {
      type: "array",
      items: {
        type: "object",
        additionalProperties: false,
        properties: {
          path: { type: "string" },
          iommu: { type: "boolean" },
          pci_segment: { type: "integer" },
          pci_device_id: { type: "integer" },
          id: { type: "string" },
          x_nv_gpudirect_clique: { type: "integer" },
          x_exclude_mmap_bars: { type: "array", items: { type: "integer" } },
        },
      },
    },
  },
};

Deno.test("emit() writes a body that the schema of cloud-hypervisor's API accepts", () => {
  const isValid = new Ajv2020().compile(VM_CONFIG);
  for (const iommufd of [false, true]) {
    const body = JSON.parse(text("cloud-hypervisor-api", [A, MEDIATED], {
      iommufd,
    }));
    assertEquals(isValid(body), true, JSON.stringify(isValid.errors));
  }
  assertEquals(isValid({ devices: [{ fd: 5 }] }), false);
});
