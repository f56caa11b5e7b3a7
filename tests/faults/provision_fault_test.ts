/**
 * An apply in which each kernel call fails in turn, with various errnos:
 * everything is undone, or the journal has what is left.
 */
import "../virtual_time.ts";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { VfioError } from "../../lib/errors.ts";
import { Host } from "../../lib/host/host.ts";
import { errnosOf } from "../kernels/errnos_of.ts";
import { type Fault, faulty } from "../kernels/fault.ts";
import type { KernelCall } from "../../lib/kernel/intercept.ts";
import { applySteps } from "../../lib/provision/make.ts";
import { restore } from "../../lib/provision/restore.ts";
import type { SimulatedMachine } from "../../lib/sim/machine/control.ts";
import {
  assertAsBefore,
  bench,
  everyStep,
  forEach,
  journalsOf,
  Mortal,
  newcomer,
  stateOf,
} from "../unit/provision_bench.ts";

/** Runs an operation in which a kernel call fails, and returns the outcome. */
async function outcome(
  machine: SimulatedMachine,
  fault: Fault,
  act: (host: Host) => Promise<unknown>,
): Promise<unknown> {
  const process = machine.spawn({ name: "passthru" });
  const { kernel } = faulty(process, fault);
  try {
    await act(new Host({ kernel }));
    return undefined;
  } catch (error) {
    return error;
  } finally {
    process.exit();
  }
}

/** Lists all faults that can occur in an operation. */
async function faultsIn(
  act: (process: Mortal) => Promise<unknown>,
  machine = bench(),
): Promise<Fault[]> {
  const process = new Mortal(machine);
  await act(process);
  assertGreater(process.calls.length, 100);
  const seen = new Map<string, number>();
  return process.calls.flatMap((call, i) => {
    const codes = codesOf(call);
    const share = READS.test(call.method) ? 1 : Math.min(2, codes.length);
    const turn = seen.get(call.method) ?? 0;
    seen.set(call.method, turn + share);
    return Array.from({ length: share }, (_, j) => ({
      nth: i + 1,
      code: codes[(turn + j) % codes.length]!,
    }));
  });
}

const READS = /^(?:read|stat)/;

/**
 * The errnos with which a call fails. Each call is tried with one or two of
 * them, as there are many calls of each kind, which take turns. A read fails in
 * two ways that the library tells apart. ENOENT is left out, as no kernel
 * answers it for an existing file.
 */
function codesOf(call: KernelCall): readonly string[] {
  return READS.test(call.method) ? ["EACCES", "ENOMEM"] : errnosOf(call);
}

Deno.test("applySteps() undoes everything when any of its calls fails", async () => {
  const before = stateOf(bench());
  const faults = await faultsIn(({ host }) => applySteps(host, everyStep()));
  let failed = 0;
  await forEach(faults, async (fault) => {
    const machine = bench();
    const error = await outcome(
      machine,
      fault,
      (host) => applySteps(host, everyStep()),
    );
    if (error !== undefined) {
      failed++;
      assert(error instanceof VfioError, String(error));
      const complete = error.code !== "RESTORE_INCOMPLETE";
      if (complete) return assertAsBefore(machine, before);
      assert(journalsOf(machine).length > 0);
    }
    const { left } = await restore(newcomer(machine));
    assertEquals(left, []);
    assertAsBefore(machine, before);
  });
  assertGreater(failed, faults.length / 2);
});
