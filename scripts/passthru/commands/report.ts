/**
 * `passthru report`
 *
 * @module
 */

import { diagnose } from "../../../lib/doctor/diagnose.ts";
import type { Host } from "../../../lib/host/host.ts";
import type { PciFunction } from "../../../lib/host/pci/function.ts";
import { pciTree } from "../../../lib/host/pci/topology/tree.ts";
import { type Arguments, EXIT } from "../command.ts";
import { description } from "../output/function_json.ts";
import { renderReport, type ReportedFunction } from "../output/report.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";
import { factsJson, showRows } from "./show.ts";

/** Writes a page about the host. */
export async function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): Promise<number> {
  const report = {
    tree: pciTree(host),
    diagnosis: diagnose(host),
    functions: host.functions().map((fn) => reported(host, fn)),
    snapshot: await host.snapshot(),
  };
  if (args.has("json")) {
    const { diagnosis, functions, snapshot } = report;
    writeJson(terminal, { diagnosis, functions, snapshot });
  } else terminal.write(renderReport(report));
  return EXIT.DONE;
}

function reported(host: Host, fn: PciFunction): ReportedFunction {
  const facts = { ...factsJson(host, fn), openers: [] };
  // The address and what it is are above them.
  const rows = showRows({ colour: false }, facts).slice(2);
  return {
    address: fn.address,
    title: description(facts),
    rows: rows.flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const]
    ),
  };
}
