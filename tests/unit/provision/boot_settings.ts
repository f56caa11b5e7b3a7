import { assertEquals, assertStringIncludes } from "@std/assert";
import { apply } from "../../../lib/provision/apply.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { merged } from "../../../lib/provision/settings/words.ts";
import { status } from "../../../lib/provision/status.ts";
import type { ConfigurationStep } from "../../../lib/provision/steps/step.ts";
import { simulate } from "../../../lib/sim/mod.ts";
import { refused as rejected } from "../../failures.ts";
import { planned, refused } from "../planned.ts";

const GRUB = "/etc/default/grub";
const STATE = { commandLine: ["intel_iommu=on", "iommu=pt"] };

type Files = Readonly<Record<string, string>>;

const grub = (text: string, more: Files = {}): Files => ({
  [GRUB]: text,
  "/usr/sbin/update-grub": "",
  "/boot/grub/grub.cfg": "linux /vmlinuz quiet\n",
  ...more,
});

/** The files that a state changes, and what is run then. */
function changes(files: Files, state: object = STATE) {
  const { steps } = plan(simulate({ files }), state);
  return steps.map((step) => {
    const { files, commands } = step as ConfigurationStep;
    return {
      files: Object.fromEntries(files.map(({ path, text }) => [path, text])),
      commands: commands.map((command) => command.join(" ")),
    };
  });
}

Deno.test("merged() adds words that are missing, replaces other values, and repeats none", () => {
  const wanted = ["intel_iommu=on", "iommu=pt"];
  assertEquals(merged("quiet", wanted), "quiet intel_iommu=on iommu=pt");
  assertEquals(merged("", wanted), "intel_iommu=on iommu=pt");
  assertEquals(
    merged("iommu=pt  quiet intel_iommu=on", wanted),
    "iommu=pt  quiet intel_iommu=on",
  );
  assertEquals(
    merged("intel_iommu=off quiet", wanted),
    "intel_iommu=on quiet iommu=pt",
  );
  assertEquals(merged("a=1 b a=2", ["a=2"]), "a=2 b ");
  assertEquals(
    merged("vfio_pci.ids=1:2", ["vfio-pci.ids=3:4"]),
    "vfio-pci.ids=3:4",
  );
  assertEquals(
    merged("console=tty0", ["console=ttyS0"]),
    "console=tty0 console=ttyS0",
  );
  assertEquals(
    merged('dyndbg="file a +p" x', ["x=1"]),
    'dyndbg="file a +p" x=1',
  );
});

Deno.test("plan() adds words to /etc/default/grub and runs update-grub", () => {
  const before =
    '# mine\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet splash" # why\nGRUB_CMDLINE_LINUX=""\n';
  assertEquals(changes(grub(before)), [{
    files: {
      [GRUB]: before.replace("splash", "splash intel_iommu=on iommu=pt"),
    },
    commands: ["/usr/sbin/update-grub"],
  }]);
});

Deno.test("plan() replaces another value where GRUB's settings have it", () => {
  const text =
    "GRUB_CMDLINE_LINUX_DEFAULT=quiet\nGRUB_CMDLINE_LINUX='intel_iommu=off'\n";
  assertEquals(changes(grub(text))[0]!.files, {
    [GRUB]: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\n' +
      "GRUB_CMDLINE_LINUX='intel_iommu=on'\n",
  });
});

Deno.test("plan() writes a file of its own where GRUB reads a directory", () => {
  const files = grub('GRUB_CMDLINE_LINUX_DEFAULT="quiet iommu=pt"\n', {
    "/etc/default/grub.d/10-cloud.cfg": "GRUB_TIMEOUT=0\n",
  });
  assertEquals(changes(files)[0]!.files, {
    "/etc/default/grub.d/90-passthru.cfg": "# For device passthrough.\n" +
      'GRUB_CMDLINE_LINUX_DEFAULT="${GRUB_CMDLINE_LINUX_DEFAULT} ' +
      'intel_iommu=on"\n',
  });
});

Deno.test("plan() changes nothing where the words are set, whichever file has them", () => {
  const files = grub('GRUB_CMDLINE_LINUX="iommu=pt"\n', {
    "/etc/default/grub.d/10.cfg":
      'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on"\n',
  });
  assertEquals(changes(files), []);
});

Deno.test("plan() uses grub2-mkconfig, and changes the entries that GRUB shows", () => {
  const entry =
    "title Fedora\nversion 1\nlinux /vmlinuz-1\noptions root=UUID=1 ro quiet\n";
  const files = {
    [GRUB]: 'GRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX="quiet"\n',
    "/usr/sbin/grub2-mkconfig": "",
    "/boot/grub2/grub.cfg": "",
    "/boot/loader/entries/1.conf": entry,
    "/etc/kernel/cmdline": "root=UUID=1 ro quiet\n",
  };
  const words = "quiet intel_iommu=on iommu=pt";
  assertEquals(changes(files), [{
    files: {
      [GRUB]: `GRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX="${words}"\n`,
      "/boot/loader/entries/1.conf": entry.replace("quiet", words),
      "/etc/kernel/cmdline": `root=UUID=1 ro ${words}\n`,
    },
    commands: ["/usr/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg"],
  }]);
});

Deno.test("plan() changes systemd-boot's entries, and the command line of later kernels", () => {
  const windows = "title Windows\nefi /EFI/Microsoft/bootmgfw.efi\n";
  const files = {
    "/boot/efi/loader/entries/1.conf":
      "linux /1\noptions root=/dev/sda1 iommu=off\n",
    "/boot/efi/loader/entries/windows.conf": windows,
    "/etc/kernel/cmdline": "root=/dev/sda1",
  };
  assertEquals(changes(files), [{
    files: {
      "/boot/efi/loader/entries/1.conf":
        "linux /1\noptions root=/dev/sda1 iommu=pt intel_iommu=on\n",
      "/etc/kernel/cmdline": "root=/dev/sda1 intel_iommu=on iommu=pt",
    },
    commands: [],
  }]);
});

Deno.test("plan() has kernel-install make the image that has the command line in it", () => {
  const files = {
    "/etc/kernel/cmdline": "root=/dev/sda1\n",
    "/usr/bin/kernel-install": "",
  };
  assertEquals(changes(files)[0]!.commands, [
    "/usr/bin/kernel-install add 7.3.4 /lib/modules/7.3.4/vmlinuz",
  ]);
});

Deno.test("plan() has proxmox-boot-tool refresh what it starts", () => {
  const files = {
    "/usr/sbin/proxmox-boot-tool": "",
    "/etc/kernel/proxmox-boot-uuids": "1234-ABCD\n",
    "/etc/kernel/cmdline": "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
    [GRUB]: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
    "/usr/sbin/update-grub": "",
  };
  assertEquals(changes(files), [{
    files: {
      "/etc/kernel/cmdline":
        "root=ZFS=rpool/ROOT/pve-1 boot=zfs intel_iommu=on iommu=pt\n",
      [GRUB]: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on iommu=pt"\n',
    },
    commands: ["/usr/sbin/proxmox-boot-tool refresh"],
  }]);
});

Deno.test("plan() throws NOT_SUPPORTED for a boot loader that is not known, and for settings in several lines", () => {
  const none = refused("NOT_SUPPORTED", {}, STATE);
  assertStringIncludes(none.message, "by hand");
  const files = grub('GRUB_CMDLINE_LINUX_DEFAULT="quiet \\\n  splash"\n');
  const lines = refused("NOT_SUPPORTED", { files }, STATE);
  assertStringIncludes(lines.message, "not understood");
});

Deno.test("restore() brings back GRUB's settings byte for byte, and what was made of them", async () => {
  const text = '\tGRUB_CMDLINE_LINUX_DEFAULT="quiet"';
  const host = simulate({ files: grub(text) });
  const { kernel } = host;
  await apply(host, STATE);
  const made = kernel.readFile("/boot/grub/grub.cfg");
  const { steps } = (await status(host))[0]!;
  assertEquals(steps.map(({ holds, pending }) => [holds, pending]), [[
    true,
    true,
  ]]);
  assertEquals(planned(host, STATE), []);
  assertEquals((await restore(host)).left, []);
  assertEquals(kernel.readFile(GRUB), text);
  assertStringIncludes(made, "intel_iommu=on iommu=pt");
  assertEquals(
    kernel.readFile("/boot/grub/grub.cfg"),
    "linux /vmlinuz quiet\n",
  );
});

Deno.test("restore() leaves what is for the next boot when it is to", async () => {
  const host = simulate({
    hugePages: { "2M": 0 },
    files: grub('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'),
  });
  await apply(host, { ...STATE, hugePages: [{ size: "2M", count: 4 }] });
  const { undone } = await restore(host, { keepBootSettings: true });
  assertEquals(undone.map(({ kind }) => kind), ["attribute"]);
  assertStringIncludes(host.kernel.readFile(GRUB), "intel_iommu=on");
  await restore(host);
  assertEquals(
    host.kernel.readFile(GRUB),
    'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
  );
});

Deno.test("status() says that nothing is pending once the kernel was started with the words", async () => {
  const host = simulate({
    kernel: { commandLine: "quiet intel_iommu=on iommu=pt" },
    files: grub('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'),
  });
  await apply(host, STATE);
  const [{ steps } = { steps: [] }] = await status(host);
  assertEquals(steps.map(({ pending }) => pending), [undefined]);
});

Deno.test("apply() brings the settings back when update-grub fails", async () => {
  const text = 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n';
  const files = grub(text, { "/usr/sbin/update-grub": "exit 1" });
  const host = simulate({ files });
  // It cannot be run again either, which the journal keeps.
  await rejected("RESTORE_INCOMPLETE", () => apply(host, STATE));
  assertEquals(host.kernel.readFile(GRUB), text);
});

Deno.test("restore() leaves a setting that somebody has changed since", async () => {
  const host = simulate({
    files: grub('GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n'),
  });
  await apply(host, STATE);
  host.kernel.writeFile(GRUB, "# other                                 \n");
  const { left } = await restore(host);
  assertEquals(left.map(({ error }) => (error as { code?: string }).code), [
    "CHANGED",
  ]);
});

Deno.test("plan() writes options of modules once, and makes the initramfs", () => {
  const moduleOptions = {
    "vfio-pci": { disable_idle_d3: "1", ids: "8086:10d3" },
    kvm: { ignore_msrs: "1" },
  };
  const files = {
    "/etc/modprobe.d/kvm.conf": "# kvm\noptions kvm ignore_msrs=0 other=1\n",
    "/etc/modprobe.d/vfio.conf": "options vfio_pci disable_idle_d3=1\n",
    "/usr/sbin/update-initramfs": "",
  };
  assertEquals(changes(files, { moduleOptions }), [{
    files: {
      "/etc/modprobe.d/zz-passthru.conf": "options vfio-pci ids=8086:10d3\n",
      "/etc/modprobe.d/kvm.conf": "# kvm\noptions kvm ignore_msrs=1 other=1\n",
    },
    commands: ["/usr/sbin/update-initramfs -u"],
  }]);
});
