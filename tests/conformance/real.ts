/**
 * The real kernel of the virtual machine around this process.
 *
 * @module
 */
import { assert } from "@std/assert";
import { Host, type Kernel } from "../../mod.ts";
import { loadAll } from "../host/load_all.ts";
import { assertFault, holdings } from "../vm/guest/observe.ts";
import { OtherProcess } from "../vm/guest/other_process.ts";
import { IOMMUS } from "../vm/iommus.ts";
import type { MachineInfo } from "../vm/machine_env.ts";
import type { Bench, Sample, System } from "./bench.ts";

/**
 * The system around this process.
 *
 * @param machine Describes it.
 */
export async function realSystem(machine: MachineInfo): Promise<System> {
  const host = new Host();
  const { kernel } = host;
  // libc is loaded in parts, each at its first use, which in a test would look
  // like a leak.
  await loadAll(kernel);
  const release = kernel.readFile("/proc/sys/kernel/osrelease").trimEnd();
  let other: OtherProcess | undefined;
  const bench: Bench = {
    machine,
    release,
    isNew: false,
    host,
    holdings,
    settle: () => new Promise((resolve) => setTimeout(resolve, 20)),
    loadSample: async (name) => {
      const { success, stderr } = await new Deno.Command("modprobe", {
        args: [name],
      }).output();
      assert(success, new TextDecoder().decode(stderr));
    },
    processName: `deno (process ${Deno.pid})`,
    get other() {
      return other!;
    },
    assertFault: (forbidden) => {
      assert(machine.iommu !== "none");
      return assertFault(IOMMUS[machine.iommu].faultLine, forbidden);
    },
    [Symbol.asyncDispose]: async () => {},
  };
  const name = release.match(/^\d+\.\d+/)![0];
  return {
    name,
    machine,
    isReal: true,
    samples: samplesOf(kernel, release),
    bench: () => bench,
    startOther: () => other = new OtherProcess(),
  };
}

/** The samples whose modules are there. */
function samplesOf(kernel: Kernel, release: string): readonly Sample[] {
  const modules = kernel.readFile(`/lib/modules/${release}/modules.dep`);
  const names: readonly Sample[] = ["mbochs", "mdpy", "mtty"];
  return names.filter((name) => modules.includes(`/${name}.ko`));
}
