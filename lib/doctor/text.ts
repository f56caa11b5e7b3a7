import { printable } from "../printable.ts";
import { breakLines, counted } from "../text.ts";
import type { Diagnosis, Finding } from "./finding.ts";

/** How many devices are named in a line. */
const MAX_NAMED = 4;

/**
 * A diagnosis in words: a line for each finding that begins with its verdict, a
 * line for what to do about it, and whether the host is fit. Devices with the
 * same finding share a line.
 *
 * @param diagnosis What was found.
 * @param width Columns that lines are broken at. Default: they are not.
 * @returns Lines, with a newline at the end.
 */
export function diagnosisText(
  diagnosis: Diagnosis,
  width: number = Infinity,
): string {
  const { functions, findings, fit } = diagnosis;
  const verdictWidth = Math.max(
    0,
    ...findings.map(({ verdict }) => verdict.length),
  );
  const column = Math.max(0, ...findings.map(({ check }) => check.length));
  const indent = verdictWidth + column + 4;
  const sameFindings = Map.groupBy(
    findings,
    ({ check, verdict, text, remedy }) =>
      JSON.stringify([check, verdict, text, remedy]),
  );
  const lines = [...sameFindings.values()].flatMap((group) => {
    const { check, verdict, text, remedy } = group[0]!;
    return [
      ...breakLines(
        `${verdict.padEnd(verdictWidth)}  ${check.padEnd(column)}  `,
        printable(devices(group) + text),
        width,
      ),
      ...verdict === "pass" || remedy === undefined
        ? []
        : breakLines(`${" ".repeat(indent)}→ `, printable(remedy), width),
    ];
  });
  const subject = functions.length === 0 ? "" : ` of ${functions.join(", ")}`;
  const count = (wanted: string) =>
    findings.filter(({ verdict }) => verdict === wanted).length;
  const [fails, warns] = [count("fail"), count("warn")];
  const unknown = count("unknown");
  const counts = [
    ...fails > 0 ? [counted(fails, "failure")] : [],
    ...warns > 0 ? [counted(warns, "warning")] : [],
  ].join(", ");
  lines.push(
    (unknown > 0 && fit
      ? `Nothing that is told stops passthrough${subject}; ` +
        `${counted(unknown, "thing")} ${unknown === 1 ? "is" : "are"} unknown`
      : `This host is ${fit ? "" : "not "}fit for passthrough${subject}`) +
      (counts === "" ? "" : `: ${counts}`),
  );
  return lines.map((line) => `${line}\n`).join("");
}

function devices(sameFindings: readonly Finding[]): string {
  const names = sameFindings.flatMap(({ device }) => device ?? []);
  if (names.length === 0) return "";
  const named = names.length <= MAX_NAMED ? names : [
    ...names.slice(0, MAX_NAMED - 1),
    `${names.length - MAX_NAMED + 1} more`,
  ];
  return `${named.join(", ")}: `;
}
