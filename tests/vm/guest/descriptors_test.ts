/**
 * Devices of processes that may open nothing, by descriptors that another
 * process has opened.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { spawn } from "node:child_process";
import { VfioDevice } from "../../../mod.ts";
import { VfioDescriptors } from "../../../lib/handoff/mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { O_RDWR } from "../../../lib/uapi/linux/fcntl.ts";
import { AF_UNIX, SOCK_SEQPACKET } from "../../../lib/uapi/linux/socket.ts";
import { descriptors } from "./observe.ts";
import { addressOf, host, machine, Setup } from "./setup.ts";

const NOBODY = 65534;
const ROOT = new URL("../../../", import.meta.url);
const { kernel } = host;

/** Tells its user and its capabilities, and attaches what `target` is. */
const SCRIPT = `
import { AddressSpace, Host, VfioDevice } from "@passthru/vfio";
import { VfioDescriptors } from "@passthru/vfio/handoff";
import { Edu } from "${import.meta.resolve("./edu.ts")}";
const status = new Host().kernel.readFile("/proc/self/status");
console.log(/^Uid:\\s+(\\d+)/m.exec(status)[1], /^CapEff:\\s+0+$/m.test(status));
await using space = new AddressSpace();
const refused = await VfioDevice.attach(Deno.args[0], space)
  .catch(({ code }) => code);
console.log(refused);
for (const target of await targets()) {
  const device = await VfioDevice.attach(target, space);
  using memory = space.allocate(8192, { dmaMask: 0xfff_ffffn });
  crypto.getRandomValues(memory.bytes.subarray(0, 4096));
  await new Edu(device).copy(memory.iova, memory.iova + 4096n, 4096);
  const [from, to] = [memory.bytes.slice(0, 4096), memory.bytes.slice(4096)];
  console.log(device.name, from.every((byte, i) => byte === to[i]));
  await device.detach();
}
`;

/** Runs the script as nobody, with descriptors from 3 on; returns its lines. */
async function asNobody(
  targets: string,
  fds: readonly number[],
  ...args: string[]
): Promise<string[]> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(
    file,
    `const targets = async () => ${targets};\n${SCRIPT}`,
  );
  await Deno.chmod(file, 0o644);
  const child = spawn(Deno.execPath(), [
    ...["run", "--no-prompt", "--no-check", "--no-lock", "--allow-ffi"],
    ...["--config", "deno.offline.json", file, ...args],
  ], {
    uid: NOBODY,
    gid: NOBODY,
    stdio: ["ignore", "pipe", "inherit", ...fds],
  });
  let text = "";
  child.stdout!.on("data", (chunk) => text += chunk);
  const code = await new Promise((resolve) => child.once("close", resolve));
  assertEquals(code, 0);
  return text.trimEnd().split("\n");
}

const hasIommufd = machine.backends.includes("iommufd");

Deno.test({
  name: "A script of nobody attaches a device by descriptors that it inherited",
  ignore: !hasIommufd,
  async fn() {
    await using setup = new Setup("iommufd");
    const edu = await setup.take("edu0");
    const before = descriptors();
    {
      await using open = await VfioDescriptors.open([edu]);
      const fds = [open.iommufd, ...open.devices];
      const lines = await asNobody(
        "[{ iommufd: 3, fd: 4 }]",
        fds,
        addressOf("edu0"),
      );
      assertEquals(lines, [
        `${NOBODY} true`,
        "PERMISSION_DENIED",
        `${addressOf("edu0")} true`,
      ]);
    }
    assertEquals(descriptors(), before);
    // Nobody has it open any more.
    await setup.attach("edu0");
  },
});

Deno.test({
  name: "A script of nobody attaches devices by descriptors that it is sent",
  ignore: !hasIommufd,
  async fn() {
    await using setup = new Setup("iommufd");
    const names = ["edu0", "edu1"];
    const functions = [];
    for (const name of names) functions.push(await setup.take(name));
    const before = descriptors();
    const [ours, its] = kernel.socketpair(AF_UNIX, SOCK_SEQPACKET, 0);
    {
      await using open = await VfioDescriptors.open(functions);
      open.send(ours);
    }
    const lines = await asNobody(
      "(await VfioDescriptors.receive(3)).passed",
      [its],
      addressOf("edu0"),
    );
    assertEquals(
      lines.slice(2),
      names.map((name) => `${addressOf(name)} true`),
    );
    kernel.close(ours);
    kernel.close(its);
    assertEquals(descriptors(), before);
    await setup.attach("edu0");
  },
});

Deno.test({
  name:
    "A script of nobody attaches a device that another has bound, by its id",
  ignore: !hasIommufd,
  async fn() {
    await using setup = new Setup("iommufd");
    const edu = await setup.take("edu0");
    {
      await using open = await VfioDescriptors.open([edu]);
      const space = setup.space();
      const device = await VfioDevice.attach(open.passed[0]!, space);
      const { deviceId } = device;
      await device.detach();
      const lines = await asNobody(
        `[{ iommufd: 3, fd: 4, deviceId: ${deviceId} }]`,
        [open.iommufd, ...open.devices],
        addressOf("edu0"),
      );
      assertEquals(lines[2], `${addressOf("edu0")} true`);
      // And this process again, which remembers the id.
      await VfioDevice.attach(open.passed[0]!, space);
      await space.close();
    }
    await setup.attach("edu0");
  },
});

Deno.test({
  name: "A script of nobody attaches a device by its group's descriptor",
  ignore: !machine.backends.includes("legacy"),
  async fn() {
    await using setup = new Setup("legacy");
    const { group } = vfioNodes(await setup.take("edu0"));
    const fd = kernel.open(group!, O_RDWR);
    const target = { group: 3, device: addressOf("edu0") };
    for (let times = 0; times < 2; times++) {
      const lines = await asNobody(
        JSON.stringify([target]),
        [fd],
        addressOf("edu0"),
      );
      assertEquals(lines, [
        `${NOBODY} true`,
        "PERMISSION_DENIED",
        `${addressOf("edu0")} true`,
      ]);
    }
    kernel.close(fd);
    await setup.attach("edu0");
  },
});

Deno.test({
  name: "hand_to_child.ts has nobody's child identify the disk",
  ignore: !hasIommufd,
  async fn() {
    const { success, stdout, stderr } = await new Deno.Command(
      Deno.execPath(),
      {
        args: [
          ...["run", "--no-check", "--no-prompt", "--allow-ffi"],
          ...["--allow-run", "--allow-env"],
          new URL("examples/hand_to_child.ts", ROOT).pathname,
          addressOf("nvme0"),
        ],
        env: { NO_COLOR: "1" },
      },
    ).output();
    const text = new TextDecoder();
    assertEquals([success, text.decode(stderr)], [true, ""]);
    assertMatch(
      text.decode(stdout),
      /^0000:00:07\.0 by descriptor 3 and descriptor 4 both work\nmodel {5}QEMU NVMe Ctrl\nserial {4}nvme0\n$/,
    );
    assertEquals(host.find(addressOf("nvme0")).driver, "nvme");
  },
});
