/**
 * Gives a function to a virtual machine and takes it back: desired state, plan,
 * apply, QEMU, restore.
 *
 *     deno run --allow-ffi --allow-run examples/hand_to_qemu.ts 0000:01:00.0
 *
 * The virtual machine boots nothing: its firmware lists the PCI functions that
 * it sees, and QEMU ends. With the legacy container and another QEMU:
 *
 *     … examples/hand_to_qemu.ts 0000:01:00.0 legacy /opt/qemu/bin/qemu-system-x86_64
 *
 * @module
 */
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { Host } from "../mod.ts";
import { apply, type DesiredState, plan } from "../lib/provision/mod.ts";
import { qemuArguments } from "../lib/handoff/mod.ts";

/** What a test replaces in {@linkcode main}. */
export interface Surroundings {
  /** How QEMU reaches the function. Default: `"iommufd"`. */
  readonly by?: "iommufd" | "legacy";
  /** Called with each line. Default: prints it. */
  readonly print?: (line: string) => void;
  /** Runs QEMU with these arguments, and returns what its firmware writes. */
  readonly runQemu?: (args: readonly string[]) => Promise<string>;
}

/**
 * @param host The host that the function is on.
 * @param address The function: `0000:01:00.0`.
 * @param surroundings What a test replaces.
 */
export async function main(
  host: Host,
  address: string,
  { by = "iommufd", print = console.log, runQemu = qemu() }: Surroundings = {},
): Promise<void> {
  const fn = host.function(address);
  const state: DesiredState = {
    functions: [{
      select: address,
      pin: { id: id(fn) },
      driver: "vfio-pci",
      group: "all endpoints",
    }],
  };
  print(`before: ${fn.driver ?? "no driver"}`);
  print(plan(host, state).toString());
  {
    await using _applied = await apply(host, state);
    print(`applied: ${fn.driver}`);
    print(`again: ${plan(host, state)}`);

    const firmware = await runQemu([
      ...["-machine", "q35", "-m", "64", "-nodefaults", "-display", "none"],
      ...["-chardev", "stdio,id=log"],
      ...["-device", "isa-debugcon,iobase=0x402,chardev=log"],
      ...["-no-reboot", "-boot", "reboot-timeout=0"],
      ...qemuArguments([{ device: fn }], { by }),
    ]);
    const [seen] = firmware.match(new RegExp(`^.*id=${id(fn)}.*$`, "m")) ?? [];
    if (seen === undefined) throw new Error("QEMU's machine does not have it");
    print(`QEMU's firmware: ${seen}`);
  } // Everything is restored here, also after an error.
  print(`after: ${fn.driver ?? "no driver"}`);
}

function id({ vendor, device }: { vendor: number; device: number }): string {
  return [vendor, device].map((part) => part.toString(16).padStart(4, "0"))
    .join(":");
}

/**
 * Returns a function that runs QEMU and returns what that writes.
 *
 * @param program The program.
 * @param first Its first arguments.
 */
export function qemu(
  program = "qemu-system-x86_64",
  ...first: string[]
): NonNullable<Surroundings["runQemu"]> {
  return async (args) => {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args: [...first, ...args],
    }).output();
    const text = new TextDecoder();
    if (!success) throw new Error(`${program}: ${text.decode(stderr)}`);
    return text.decode(stdout);
  };
}

if (import.meta.main) {
  const [address, by, ...command] = Deno.args;
  await main(new Host(), address!, {
    by: by === "legacy" ? by : "iommufd",
    runQemu: qemu(...command),
  });
}
