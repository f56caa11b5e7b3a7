/**
 * A state that is applied at boot: systemd starts as the first process of a
 * container that has the machine's devices, with udev, and ends as at a
 * shutdown.
 */
import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  type DesiredState,
  persist,
  unpersist,
} from "../../../lib/provision/mod.ts";
import { addressOf, host, machine } from "./setup.ts";

const UNIT = "passthru-guest.service";
const TARGET = "multi-user.target";
/** The other units of the user land, which take minutes. */
const WANTS = `/etc/systemd/system/${TARGET}.wants`;
/**
 * This unit empties directories for temporary files, perhaps with the checkout.
 */
const EMPTYING = "/etc/systemd/system/systemd-tmpfiles-setup.service";

const DISPLAY = addressOf("vga0");
const EDU = addressOf("edu0");
const PHYSICAL = addressOf("sriov0");

const STATE: DesiredState = {
  functions: [
    { select: DISPLAY, driver: "vfio-pci" },
    { select: EDU, driver: "vfio-pci" },
    {
      select: PHYSICAL,
      virtualFunctions: { count: 2, driver: "vfio-pci" },
    },
  ],
};

/** The command, from this checkout. */
const ROOT = new URL("../../../", import.meta.url).pathname;
const COMMAND = [
  ...[Deno.execPath(), "run", "--allow-ffi", "--allow-read", "--no-check"],
  ...["--no-lock", `--config=${ROOT}deno.offline.json`],
  `${ROOT}scripts/passthru.ts`,
];

/** The parts of the host that the state changes. */
function made() {
  const { virtualFunctions } = host.function(PHYSICAL);
  return {
    display: host.function(DISPLAY).driver,
    edu: host.function(EDU).driver,
    virtual: virtualFunctions.map(({ driver }) => driver),
  };
}

/** A user land that has been started. */
class UserLand implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;

  constructor() {
    const namespaces = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    this.#process = new Deno.Command("unshare", {
      args: [
        ...[...namespaces, "--mount", "/lib/systemd/systemd", "--system"],
        ...[`--unit=${TARGET}`, "--log-target=console"],
      ],
      env: { container: "other" },
    }).spawn();
  }

  /** Runs systemctl inside. */
  async systemctl(...args: string[]): Promise<string> {
    const namespace = `/proc/${this.#process.pid}/ns`;
    const { stdout } = await new Deno.Command("nsenter", {
      args: [
        `--pid=${namespace}/pid_for_children`,
        ...[`--mount=${namespace}/mnt`, "systemctl", ...args],
      ],
    }).output();
    return new TextDecoder().decode(stdout).trim();
  }

  /** Waits until a unit is in a state, 5 minutes at most. */
  async waitForState(unit: string, state: string): Promise<void> {
    const end = performance.now() + 300_000;
    for (;;) {
      const now = await this.systemctl("is-active", unit);
      if (now === state) return;
      if (now === "failed" || performance.now() > end) {
        throw new Error(await this.systemctl("status", unit));
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** When a unit became active, in microseconds. */
  async activeSince(unit: string): Promise<number> {
    const property = "ActiveEnterTimestampMonotonic";
    return Number(
      await this.systemctl("show", "--value", "-p", property, unit),
    );
  }

  /** Shuts it down. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.systemctl("exit");
    await this.#process.status;
  }
}

// It leaves changes that other tests do not expect, such as more drivers.
if (machine.name === "debian-boot") {
  Deno.test("persist() makes systemd and udev apply the state at boot, before its users, and undo it at shutdown", async () => {
    const before = made();
    assertEquals(before.virtual, []);
    for (const { name } of Deno.readDirSync(WANTS)) {
      Deno.removeSync(`${WANTS}/${name}`);
    }
    Deno.symlinkSync("/dev/null", EMPTYING);
    await persist(host, STATE, "guest", { command: COMMAND });
    {
      await using userLand = new UserLand();
      await userLand.waitForState(UNIT, "active");
      assertEquals(made(), {
        display: "vfio-pci",
        edu: "vfio-pci",
        virtual: ["vfio-pci", "vfio-pci"],
      });
      await userLand.waitForState(TARGET, "active");
      assertGreater(
        await userLand.activeSince(TARGET),
        await userLand.activeSince(UNIT),
      );
      // The display's own driver is loaded, and udev has kept it from binding.
      assert(Deno.statSync("/sys/bus/pci/drivers/bochs-drm").isDirectory);
      assertEquals(host.function(DISPLAY).driverOverride, "vfio-pci");
    }
    assertEquals(made(), before);
    assertEquals(await unpersist(host, "guest"), true);
  });
}
