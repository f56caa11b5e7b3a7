/**
 * The simulated disk, which processes of several users share.
 * `tests/conformance/cases/files.ts` compares its file system with a real one.
 */
import { chmod, chown } from "../../kernels/by_path.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Kernel } from "../../../lib/kernel/kernel.ts";
import {
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  O_CREAT,
  O_RDONLY,
  O_WRONLY,
} from "../../../lib/uapi/linux/fcntl.ts";
import { answer } from "../../conformance/answer.ts";

const A = "0000:00:03.0";

function put(kernel: Kernel, path: string, text: string, mode = 0o644): void {
  const fd = kernel.open(path, O_WRONLY | O_CREAT, mode);
  kernel.write(fd, new TextEncoder().encode(text));
  kernel.close(fd);
}

Deno.test("A simulated disk has the usual directories", () => {
  const { kernel } = simulate();
  const modes = ["/etc", "/run", "/tmp", "/var", "/var/lib"]
    .map((path) => kernel.stat(path).mode.toString(8));
  assertEquals(modes, ["40755", "40755", "41777", "40755", "40755"]);
  assertEquals(kernel.readdir("/"), [
    "dev",
    "etc",
    "proc",
    "run",
    "sys",
    "tmp",
    "var",
  ]);
});

Deno.test("A simulated disk is shared by the processes of one machine", () => {
  const { kernel, machine } = simulate();
  const other = machine.spawn();
  put(kernel, "/run/file", "text");
  assertEquals(other.readFile("/run/file"), "text");
  other.writeFile("/run/file", "T");
  assertEquals(kernel.readFile("/run/file"), "Text");
  const { kernel: elsewhere } = simulate();
  assertEquals(elsewhere.readdir("/run"), []);
});

Deno.test("Topology.files are on the disk, and can be written like other files", () => {
  const { kernel } = simulate({
    files: {
      "/etc/modprobe.d/a.conf": "options vfio\n",
      "/usr/lib/os-release": "ID=debian\n",
      "/etc/os-release": { link: "/usr/lib/os-release" },
      "/proc/swaps": "none\n",
    },
  });
  assertEquals(kernel.readFile("/etc/os-release"), "ID=debian\n");
  kernel.writeFile("/etc/modprobe.d/a.conf", "OPTIONS");
  assertEquals(kernel.readFile("/etc/modprobe.d/a.conf"), "OPTIONS vfio\n");
  kernel.rename("/etc/modprobe.d/a.conf", "/etc/b.conf");
  assertEquals(kernel.readdir("/etc/modprobe.d"), []);
  kernel.rmdir("/etc/modprobe.d");
  assertEquals(answer(() => kernel.unlink("/proc/swaps")), "EPERM");
});

Deno.test("A simulated disk gives users the rights of the modes", () => {
  const { kernel: root, machine } = simulate();
  const user = machine.spawn({ uid: 1000 });
  const group = machine.spawn({ uid: 1001, gid: 1000 });
  assertEquals(answer(() => put(user, "/etc/x", "")), "EACCES");
  assertEquals(answer(() => user.mkdir("/run/x", 0o755)), "EACCES");
  put(user, "/tmp/mine", "text", 0o640);
  assertEquals(user.stat("/tmp/mine").uid, 1000);
  assertEquals(group.readFile("/tmp/mine"), "text");
  assertEquals(answer(() => group.writeFile("/tmp/mine", "x")), "EACCES");
  // The directory is sticky: nobody removes names of other users' files.
  assertEquals(answer(() => group.unlink("/tmp/mine")), "EPERM");
  assertEquals(answer(() => group.rename("/tmp/mine", "/tmp/x")), "EPERM");
  assertEquals(answer(() => chmod(group, "/tmp/mine", 0o666)), "EPERM");
  assertEquals(answer(() => chown(user, "/tmp/mine", 1001, -1)), "EPERM");
  assertEquals(answer(() => chown(user, "/tmp/mine", -1, 5)), "EPERM");
  assertEquals(answer(() => chown(user, "/tmp/mine", 1000, 1000)), undefined);
  chmod(user, "/tmp/mine", 0o600);
  assertEquals(answer(() => group.readFile("/tmp/mine")), "EACCES");
  assertEquals(root.readFile("/tmp/mine"), "text");
  root.mkdir("/run/closed", 0o711);
  put(root, "/run/closed/file", "text");
  assertEquals(answer(() => user.readdir("/run/closed")), "EACCES");
  assertEquals(user.readFile("/run/closed/file"), "text");
  chmod(root, "/run/closed", 0o700);
  assertEquals(answer(() => user.readFile("/run/closed/file")), "EACCES");
  assertEquals(answer(() => user.stat("/run/closed/file")), "EACCES");
  chown(root, "/run/closed", 1000, 1000);
  assertEquals(user.readdir("/run/closed"), ["file"]);
  user.unlink("/run/closed/file");
});

Deno.test("chmod() and chown() give a user a device's nodes", async () => {
  const { kernel, machine } = simulate({
    functions: {
      [A]: { model: "edu", driver: "vfio-pci", override: "vfio-pci" },
    },
  });
  const user = machine.spawn({ uid: 1000 });
  const open = () => answer(() => user.close(user.open("/dev/vfio/0", 2)));
  assertEquals(open(), "EACCES");
  chown(kernel, "/dev/vfio/0", -1, 1000);
  chmod(kernel, "/dev/vfio/0", 0o660);
  assertEquals(open(), undefined);
  assertEquals(kernel.stat("/dev/vfio/0").mode, 0o020660);
  // Owner and mode disappear with the node.
  await kernel.writeFileAsync("/sys/bus/pci/drivers/vfio-pci/unbind", A);
  await kernel.writeFileAsync("/sys/bus/pci/drivers/vfio-pci/bind", A);
  assertEquals(open(), "EACCES");
});

Deno.test("A lock is released when its process ends", () => {
  const { kernel, machine } = simulate();
  const lock = (process: Kernel, operation = LOCK_EX) => {
    const fd = process.open("/run/lock", O_WRONLY | O_CREAT);
    return answer(() => process.flock(fd, operation | LOCK_NB));
  };
  const first = machine.spawn();
  assertEquals(lock(first), undefined);
  assertEquals(lock(kernel), "EAGAIN");
  first.exit();
  assertEquals(lock(kernel, LOCK_SH), undefined);
  assertEquals(lock(machine.spawn(), LOCK_SH), undefined);
  assertEquals(lock(machine.spawn()), "EAGAIN");
});

Deno.test("flock() throws when a real process would hang in it", () => {
  const { kernel } = simulate();
  const [a, b] = [1, 2].map(() => kernel.open("/run/lock", O_WRONLY | O_CREAT));
  kernel.flock(a!, LOCK_EX);
  assertThrows(() => kernel.flock(b!, LOCK_EX), Error, "would hang");
  // Files that are not on the disk cannot be locked.
  const attribute = kernel.open("/proc/swaps", O_RDONLY);
  assertEquals(answer(() => kernel.flock(attribute, LOCK_EX)), "ENOLCK");
});

for (const [release, waits] of [["6.12", true], ["7.0", false]] as const) {
  Deno.test(`readFileAsync() ${waits ? "waits" : "does not wait"} for a process that moves the device when the kernel is Linux ${release}`, async () => {
    const { kernel, machine } = simulate({
      kernel: { release, iommufd: true },
      functions: {
        [A]: { model: "edu", driver: "vfio-pci", override: "vfio-pci" },
      },
    });
    const user = machine.spawn();
    user.open("/dev/vfio/devices/vfio0", 2);
    let closed = false;
    const unbind = kernel
      .writeFileAsync("/sys/bus/pci/drivers/vfio-pci/unbind", A);
    await Promise.resolve();
    const path = `/sys/bus/pci/devices/${A}/driver_override`;
    const read = kernel.readFileAsync(path).then((text) => [text, closed]);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    closed = true;
    user.exit();
    assertEquals(await read, ["vfio-pci\n", waits]);
    await unbind;
  });
}

Deno.test("readFileAsync() fails like readFile()", async () => {
  const { kernel } = simulate();
  assertEquals(
    await kernel.readFileAsync("/proc/swaps"),
    kernel.readFile("/proc/swaps"),
  );
  await assertRejects(() => kernel.readFileAsync("/etc/none"), Error, "ENOENT");
});
