import { assertEquals } from "@std/assert";
import { simulate, type SimulatedHost } from "../../../../lib/sim/host.ts";
import { O_RDWR } from "../../../../lib/uapi/linux/fcntl.ts";
import { HostFiles } from "../../host_files.ts";
import {
  at,
  DEFAULT,
  FUNCTIONS,
  GPU,
  hostWith,
  NIC,
  NVME,
  SOUND,
  uses,
  usual,
} from "./used_host.ts";

Deno.test("usesOf() finds nothing when nothing is used", () => {
  const files = usual().mount("8:1", "/").mount("0:40", "/srv", "/dev/sda2")
    .swaps("/dev/sdb1\tpartition\t1\t0\t-2")
    .routes(["eth1", "0002A8C0", "00FFFFFF"], ["eth1", "00000000", "00000000"]);
  const host = hostWith(files);
  for (const { address } of host.functions()) {
    assertEquals(uses(host, address), []);
  }
});

Deno.test("usesOf() names the processes that have nodes of a function open", () => {
  const files = usual()
    .char(`${at(SOUND)}/sound/card0/pcmC0D0p`, "116:2", "snd/pcmC0D0p")
    .char(`${at(SOUND)}/sound/card0/controlC0`, "116:3", "snd/controlC0");
  const host = hostWith(files);
  const [player, mixer] = ["player", "mixer"].map((name) =>
    host.machine.spawn({ name })
  );
  player!.open("/dev/snd/pcmC0D0p", O_RDWR);
  player!.open("/dev/snd/controlC0", O_RDWR);
  mixer!.open("/dev/snd/controlC0", O_RDWR);
  const [one, two] = [player!, mixer!].map(({ pid }) => `process ${pid}`);
  assertEquals(uses(host, SOUND).sort(), [
    ["open", `/dev/snd/controlC0 is open in player (${one}), mixer (${two})`],
    ["open", `/dev/snd/pcmC0D0p is open in player (${one})`],
  ]);
  player!.exit();
  mixer!.exit();
  assertEquals(uses(host, SOUND), []);
});

Deno.test("usesOf() names the processes that have the VFIO nodes of a function open", () => {
  const host = simulate({
    functions: {
      [NVME]: { ...FUNCTIONS![NVME], driver: "vfio-pci", group: 4 },
    },
  });
  const qemu = host.machine.spawn({ name: "qemu" });
  qemu.open("/dev/vfio/4", O_RDWR);
  assertEquals(uses(host, NVME), [
    ["open", `/dev/vfio/4 is open in qemu (process ${qemu.pid})`],
  ]);
});

Deno.test("usesOf() names the processes that have a mediated device of a function open", () => {
  const uuid = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  const host = simulate({
    functions: { [GPU]: { ...FUNCTIONS![GPU], driver: "i915" } },
    mediatedTypes: { [GPU]: { "i915-A": { instances: 1 } } },
    mediated: { [uuid]: { parent: GPU, type: "i915-A" } },
  });
  assertEquals(uses(host, GPU), []);
  const group = host.find(`/sys/bus/mdev/devices/${uuid}`).iommuGroup!;
  const qemu = host.machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${group.id}`, O_RDWR);
  assertEquals(uses(host, GPU), [
    ["open", `/dev/vfio/${group.id} is open in qemu (process ${qemu.pid})`],
  ]);
});

/** A host with a function that has two virtual functions. */
function virtual(driver: string, files: HostFiles): SimulatedHost {
  return simulate({
    functions: {
      [NIC]: {
        ...FUNCTIONS![NIC],
        driver: "igb",
        sriov: { total: 2, enabled: 2, id: "8086:10ca", offset: 8, stride: 1 },
      },
      "0000:00:09.0": { driver },
      "0000:00:09.1": { driver: null },
    },
    files: files.all,
  });
}

Deno.test("usesOf() finds a taken virtual function, and names the process that has it open", () => {
  const host = virtual("vfio-pci", new HostFiles());
  const vf = "its virtual function 0000:00:09.0 is in use";
  assertEquals(uses(host, NIC), [
    ["virtual functions", `${vf}: vfio-pci has it`],
  ]);
  const { id } = host.function("0000:00:09.0").iommuGroup!;
  const qemu = host.machine.spawn({ name: "qemu" });
  qemu.open(`/dev/vfio/${id}`, O_RDWR);
  assertEquals(uses(host, NIC), [
    ["virtual functions", `${vf}: vfio-pci has it`],
    [
      "virtual functions",
      `${vf}: /dev/vfio/${id} is open in qemu (process ${qemu.pid})`,
    ],
  ]);
});

Deno.test("usesOf() finds the host's use of a virtual function", () => {
  const files = new HostFiles().network(`${at("0000:00:09.0")}/net/eth1`);
  assertEquals(uses(virtual("igbvf", files), NIC), []);
  files.routes(["eth1", ...DEFAULT]);
  assertEquals(uses(virtual("igbvf", files), NIC), [
    [
      "virtual functions",
      "its virtual function 0000:00:09.0 is in use: " +
      "the IPv4 default route is through eth1",
    ],
  ]);
});

const CARD = "0000:00:0b.0";
const CARD_PATH = at(CARD);

/** Makes a card of this driver with these files, and opens one of them. */
function opened(
  driver: string,
  files: HostFiles,
  path: string,
): [string, string][] {
  const host = simulate({
    functions: { [CARD]: { id: "1002:73bf", class: 0x030000, driver } },
    files: files.all,
  });
  const process = host.machine.spawn({ name: "compute" });
  process.open(path.replace("FN", CARD_PATH), 0);
  return uses(host, CARD).map(([kind, problem]) => [
    kind,
    problem.replace(CARD_PATH, "FN")
      .replace(`${process.pid}`, "PID"),
  ]);
}

const IN_COMPUTE = "is open in compute (process PID)";

Deno.test("usesOf() knows the node of an NVIDIA card by its minor number", () => {
  const files = (minor: number) =>
    new HostFiles().file("/dev/nvidia1", "").file(
      `/proc/driver/nvidia/gpus/${CARD}/information`,
      `Model: \t\t NVIDIA RTX\nDevice Minor: \t ${minor}\n`,
    );
  assertEquals(opened("nvidia", files(1), "/dev/nvidia1"), [
    ["open", `/dev/nvidia1 ${IN_COMPUTE}`],
  ]);
  assertEquals(opened("nvidia", files(0), "/dev/nvidia1"), []);
});

Deno.test("usesOf() knows by the topology of KFD which cards an open /dev/kfd uses", () => {
  const files = (location: number) =>
    new HostFiles().file("/dev/kfd", "").file(
      "/sys/class/kfd/kfd/topology/nodes/1/properties",
      `simd_count 160\nlocation_id ${location}\ndomain 0\n`,
    );
  assertEquals(opened("amdgpu", files(0xb << 3), "/dev/kfd"), [
    ["open", `/dev/kfd ${IN_COMPUTE}`],
  ]);
  assertEquals(opened("amdgpu", files(0xc << 3), "/dev/kfd"), []);
});

for (
  const [sysfs, number, node] of [
    ["drm/card1", "226:1", "dri/card1"],
    ["drm/renderD129", "226:129", "dri/renderD129"],
    ["sound/card1/hwC1D0", "116:9", "snd/hwC1D0"],
    ["sound/card1/input7/event7", "13:71", "input/event7"],
  ] as const
) {
  Deno.test(`usesOf() counts an open /dev/${node}`, () => {
    const files = new HostFiles().char(`${CARD_PATH}/${sysfs}`, number, node);
    assertEquals(opened("amdgpu", files, `/dev/${node}`), [
      ["open", `/dev/${node} ${IN_COMPUTE}`],
    ]);
  });
}

Deno.test("usesOf() counts open sensors and BARs of a function", () => {
  const sensor = "hwmon/hwmon3/temp1_input";
  const files = new HostFiles().file(`${CARD_PATH}/${sensor}`, "40000\n");
  assertEquals(opened("amdgpu", files, `FN/${sensor}`), [
    ["open", `FN/${sensor} ${IN_COMPUTE}`],
  ]);
  assertEquals(opened("amdgpu", files, "FN/uevent"), []);
});
