/**
 * Functions for libvirt: it starts a domain in the guest with one that a state
 * has bound and one that it binds itself, up to the domain's firmware.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { openers } from "../../../lib/host/openers.ts";
import { emit } from "../../../lib/handoff/mod.ts";
import { apply, plan, restore } from "../../../lib/provision/mod.ts";
import { testUnless, whyNot } from "../../host/programs.ts";
import { addressOf, host } from "./setup.ts";
import { until } from "./until.ts";

/** The function that the state binds. */
const BOUND = addressOf("nvme0");
/** The function that libvirt binds. */
const MANAGED = addressOf("e1000e0");

/** The ids that the firmware must see. */
const IDS = ["1b36:0010", "8086:10d3"];

/** Another package than that of libvirt's daemon makes this user. */
const USER = "libvirt-qemu";

/** How a function is on the host, and who may open its group. */
function stateOf(address: string) {
  const { driver, driverOverride, iommuGroup } = host.function(address);
  try {
    const { uid, mode } = Deno.statSync(`/dev/vfio/${iommuGroup!.id}`);
    return { driver, driverOverride, uid, mode };
  } catch {
    return { driver, driverOverride };
  }
}

/** Makes the user that libvirt runs QEMU as, where there is none. */
function makeUser(): void {
  const append = { append: true };
  const line = `${USER}:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin\n`;
  if (Deno.readTextFileSync("/etc/passwd").includes(`${USER}:`)) return;
  Deno.writeTextFileSync("/etc/passwd", line, append);
  Deno.writeTextFileSync("/etc/group", `${USER}:x:64055:\n`, append);
}

/** libvirt's daemon, and a client. */
class Libvirt implements AsyncDisposable {
  readonly #daemon: Deno.ChildProcess;

  private constructor(daemon: Deno.ChildProcess) {
    this.#daemon = daemon;
  }

  /** Starts it. */
  static async start(): Promise<Libvirt> {
    makeUser();
    Deno.mkdirSync("/etc/libvirt", { recursive: true });
    // Without virtlogd.
    Deno.writeTextFileSync(
      "/etc/libvirt/qemu.conf",
      'stdio_handler = "file"\n',
    );
    const daemon = new Deno.Command("libvirtd", {
      stdin: "null",
      stderr: "null",
    }).spawn();
    const libvirt = new Libvirt(daemon);
    await until(() => {
      try {
        return Deno.statSync("/run/libvirt/libvirt-sock").isSocket;
      } catch {
        return false;
      }
    }, "the socket of libvirtd");
    return libvirt;
  }

  /** Runs virsh. */
  async virsh(...args: string[]): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command("virsh", {
      args: ["-c", "qemu:///system", ...args],
    }).output();
    const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
    if (!success) throw new Error(`virsh ${args.join(" ")}: ${err}`);
    return out!.trim();
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#daemon.kill("SIGTERM");
    await this.#daemon.status;
  }
}

/** A small domain, whose firmware writes its log to a file. */
function domain(name: string, devices: string, log: string): string {
  return `<domain type='qemu'>
<name>${name}</name>
<memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>
<emulator>/usr/bin/qemu-system-x86_64</emulator>
<controller type='usb' model='none'/>
<memballoon model='none'/>
<serial type='file'>
  <source path='${log}'/>
  <target type='isa-debug'><model name='isa-debugcon'/></target>
  <address type='isa' iobase='0x402'/>
</serial>
${devices}</devices>
</domain>
`;
}

testUnless(
  whyNot("libvirtd", "virsh"),
  "libvirt starts a domain with a function that a state has bound and one that it binds itself, and leaves both as they were",
  async (folder) => {
    Deno.chmodSync(folder, 0o777);
    const before = [BOUND, MANAGED].map(stateOf);
    const functions = [{ select: BOUND, driver: "vfio-pci" }];
    const handoff = [{
      format: "libvirt",
      path: `${folder}/bound.xml`,
    }] as const;
    await apply(host, { functions, handoff });
    const applied = [BOUND, MANAGED].map(stateOf);
    assertEquals(applied[1], before[1]);
    const devices = Deno.readTextFileSync(`${folder}/bound.xml`) +
      emit("libvirt", [host.function(MANAGED)], { managed: true }).text;
    const log = `${folder}/firmware`;
    Deno.writeTextFileSync(
      `${folder}/domain.xml`,
      domain("guest", devices, log),
    );

    await using libvirt = await Libvirt.start();
    await libvirt.virsh("define", `${folder}/domain.xml`);
    await libvirt.virsh("start", "guest");
    const firmware = await until(() => {
      const text = Deno.readTextFileSync(log);
      return text.includes("No bootable device") && text;
    }, "the end of the firmware's log");
    for (const id of IDS) {
      assertMatch(firmware, new RegExp(`^PCI: init bdf=.* id=${id}$`, "m"));
    }
    for (const address of [BOUND, MANAGED]) {
      const { driver, iommuGroup } = host.function(address);
      assertEquals(driver, "vfio-pci");
      const [opener] = openers(host.kernel, [`/dev/vfio/${iommuGroup!.id}`]);
      assertMatch(opener!.name, /^qemu-system/);
    }
    const { left } = await restore(host, { timeout: 500 });
    assertMatch(String(left[0]?.error), /is open in qemu-system/);

    await libvirt.virsh("destroy", "guest");
    assertEquals([BOUND, MANAGED].map(stateOf), applied);
    assertEquals(plan(host, { functions }).steps, []);
    assertEquals((await restore(host)).left, []);
    assertEquals([BOUND, MANAGED].map(stateOf), before);
  },
);

testUnless(
  whyNot("libvirtd", "virsh"),
  "libvirt does not start a domain while the driver that emit() tells of has another member of the group",
  async (folder) => {
    const fn = host.function(addressOf("mixed1"));
    const before = stateOf(fn.address);
    const { text, notes } = emit("libvirt", [fn], { managed: true });
    assertMatch(notes[0]!, new RegExp(`${addressOf("mixed0")}.* is on nvme`));
    Deno.writeTextFileSync(
      `${folder}/domain.xml`,
      domain("part", text, "/dev/null"),
    );

    await using libvirt = await Libvirt.start();
    await libvirt.virsh("define", `${folder}/domain.xml`);
    await assertRejects(
      () => libvirt.virsh("start", "part"),
      Error,
      "is not viable",
    );
    assertEquals(stateOf(fn.address), before);
  },
);
