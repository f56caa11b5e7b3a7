/**
 * What is handed over, run by its consumers, where they are installed and this
 * is root: podman gives a container the nodes of a CDI specification, libvirt
 * makes QEMU's arguments of a domain. This machine has no such devices: the
 * nodes are a device that is there, in a mount namespace of their own.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { emit } from "../../lib/handoff/mod.ts";
import { simulate } from "../../lib/sim/mod.ts";
import { testUnless, whyNot } from "./programs.ts";

const A = "0000:01:00.0";

const host = simulate({
  functions: {
    [A]: { id: "10de:1eb8", class: 0x030200, driver: "vfio-pci", group: 42 },
  },
});

/**
 * Runs a script of the shell with mounts and processes of its own. What it
 * leaves running ends with it.
 */
async function inNamespace(
  script: string,
  folder: string,
): Promise<{ readonly code: number; readonly out: string }> {
  await Deno.writeTextFile(`${folder}/script`, script);
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      ...["--mount", "--propagation", "private", "--pid", "--fork"],
      ...["--mount-proc", "--kill-child", "sh", "-c"],
      `sh ${folder}/script; exit $?`,
    ],
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Puts nodes in place of VFIO's: the device of FUSE, which does no harm. */
const NODES = `
mkdir $D/dev
mount -t tmpfs none $D/dev
mkdir $D/dev/upper $D/dev/work
mount -t overlay o -o lowerdir=/dev,upperdir=$D/dev/upper,workdir=$D/dev/work /dev
mkdir -p /dev/vfio
mknod -m 600 /dev/vfio/vfio c 10 229
mknod -m 600 /dev/vfio/42 c 10 229
`;

/**
 * Without the limits, podman 4.3 asks for higher ones than a process may set.
 * It leaves the cgroup that its containers were in.
 */
const CONTAINERS = `set -e
mount -t tmpfs none /run
mkdir -p /run/cdi $D/root/bin $D/root/dev $D/root/proc $D/root/sys $D/root/tmp $D/root/etc
cp $D/spec.json /run/cdi
cp "$(command -v busybox)" $D/root/bin
${NODES}
run() {
  podman --root $D/r --runroot $D/rr --tmpdir $D/t --storage-driver vfs \\
    --cgroup-manager cgroupfs --events-backend none run --rm --network=none \\
    --runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 \\
    --cgroup-parent /passthru-test --user 65534 "$@"
}
run --device example.com/gpu=${A} --rootfs $D/root /bin/busybox sh -c \\
  'for node in /dev/vfio/*; do : <>$node && echo opened $node; done'
run --rootfs $D/root /bin/busybox sh -c 'ls /dev/vfio || echo none'
run --device example.com/gpu=0000:09:00.0 --rootfs $D/root /bin/busybox true || echo refused
find /sys/fs/cgroup -depth -path '*/passthru-test*' -type d -exec rmdir {} +
`;

testUnless(
  whyNot("podman", "runc", "busybox", "unshare"),
  "podman gives a container by CDI the nodes of a device, which an unprivileged user opens",
  async (folder) => {
    const { text } = emit("cdi", [host.function(A)], {
      name: "example.com/gpu",
    });
    await Deno.writeTextFile(`${folder}/spec.json`, text);
    const { code, out } = await inNamespace(
      `D=${folder}\n${CONTAINERS}`,
      folder,
    );
    assertEquals(code, 0, out);
    const lines = out.split("\n").filter((line) =>
      /^(opened|none|refused)/.test(line)
    );
    assertEquals(
      lines,
      ["opened /dev/vfio/42", "opened /dev/vfio/vfio", "none", "refused"],
      out,
    );
  },
);

testUnless(
  whyNot("virsh", "libvirtd", "runuser", "unshare"),
  "libvirt makes the arguments of QEMU of a domain with a host device",
  async (folder) => {
    const { text } = emit("libvirt", [host.function(A)]);
    // Where there is no IOMMU, libvirt 9 wants to be told which driver it is.
    const device = text.replace("  <source>", "  <driver name='vfio'/>\n$&");
    await Deno.writeTextFile(
      `${folder}/domain.xml`,
      `<domain type='qemu'><name>t</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>
${device}</devices></domain>
`,
    );
    await Deno.mkdir(`${folder}/run`);
    await Deno.chmod(folder, 0o755);
    const { code, out } = await inNamespace(
      `set -e
chown nobody ${folder}/run
runuser -u nobody -- env XDG_RUNTIME_DIR=${folder}/run HOME=${folder}/run \\
  virsh -c qemu:///session 'domxml-to-native qemu-argv ${folder}/domain.xml'
`,
      folder,
    );
    assertEquals(code, 0, out);
    assertStringIncludes(out, '"driver":"vfio-pci"');
    assertStringIncludes(out, `"host":"${A}"`);
  },
);
