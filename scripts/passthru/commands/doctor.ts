/**
 * `passthru doctor`
 *
 * @module
 */

import { diagnose } from "../../../lib/doctor/diagnose.ts";
import type { Diagnosis } from "../../../lib/doctor/finding.ts";
import { diagnosisText } from "../../../lib/doctor/text.ts";
import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, EXIT, fromUser, UsageError } from "../command.ts";
import { untoldOf } from "../run/untold.ts";
import {
  type Style,
  styled,
  type Terminal,
  writeJson,
} from "../terminal/terminal.ts";

const STYLES: Readonly<Record<string, Style>> = {
  pass: "green",
  warn: "yellow",
  fail: "red",
  unknown: "yellow",
};

const UNITS: Readonly<Record<string, bigint>> = {
  K: 1n << 10n,
  M: 1n << 20n,
  G: 1n << 30n,
  T: 1n << 40n,
};

/** A diagnosis in JSON. */
export interface DiagnosisJson extends Omit<Diagnosis, "findings"> {
  /** Its findings, with `null` for what one does not have. */
  readonly findings: readonly Readonly<Record<string, string | null>>[];
}

/** Finds what stops passthrough. */
export function run(
  args: Arguments,
  host: Host,
  terminal: Terminal,
): number {
  const functions = args.operands.map((address) =>
    fromUser(() => host.function(address))
  );
  const memory = args.value("memory");
  const diagnosis = diagnose(host, {
    functions,
    untold: untoldOf(host),
    ...memory !== undefined && { memory: bytesOf(memory) },
  });
  if (args.has("json")) {
    writeJson(terminal, diagnosisJson(diagnosis));
  } else {
    terminal.write(
      diagnosisText(diagnosis, terminal.width).replace(
        /^(pass|warn|fail|unknown)/gm,
        (verdict) => styled(terminal, STYLES[verdict], verdict),
      ),
    );
  }
  return diagnosis.fit ? EXIT.DONE : EXIT.UNFIT;
}

/** Describes a diagnosis in JSON. */
export function diagnosisJson(diagnosis: Diagnosis): DiagnosisJson {
  return {
    ...diagnosis,
    findings: diagnosis.findings.map(
      ({ check, verdict, device, text, remedy }) => ({
        check,
        verdict,
        device: device ?? null,
        text,
        remedy: remedy ?? null,
      }),
    ),
  };
}

function bytesOf(text: string): bigint {
  const [, digits, unit] = /^(\d+)([KMGT])$/.exec(text) ?? [];
  if (digits !== undefined) return BigInt(digits) * UNITS[unit!]!;
  throw new UsageError(`--memory is ${text}: expected such as 512M or 16G`);
}
