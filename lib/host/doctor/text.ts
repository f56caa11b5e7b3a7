import type { Diagnosis, Finding } from "./finding.ts";

/** As many devices are named in a line. */
const MAX_NAMED = 4;

/**
 * A diagnosis in words: a line for each finding that begins with its verdict, a
 * line for what to do about it, and whether the host is fit. What is the same
 * for several devices is told once.
 *
 * @param diagnosis What was found.
 * @returns Lines, with a newline at the end.
 */
export function diagnosisText(diagnosis: Diagnosis): string {
  const { functions, findings, fit } = diagnosis;
  const width = Math.max(0, ...findings.map(({ check }) => check.length));
  const alike = Map.groupBy(
    findings,
    ({ check, verdict, text, remedy }) =>
      JSON.stringify([check, verdict, text, remedy]),
  );
  const lines = [...alike.values()].flatMap((group) => {
    const { check, verdict, text, remedy } = group[0]!;
    return [
      `${verdict}  ${check.padEnd(width)}  ${devices(group)}${text}`,
      ...verdict === "pass" || remedy === undefined
        ? []
        : [`      ${" ".repeat(width)}  → ${remedy}`],
    ];
  });
  const what = functions.length === 0 ? "" : ` of ${functions.join(", ")}`;
  const count = (wanted: string) =>
    findings.filter(({ verdict }) => verdict === wanted).length;
  const [fails, warns] = [count("fail"), count("warn")];
  const counts = [
    ...fails > 0 ? [`${fails} ${fails === 1 ? "failure" : "failures"}`] : [],
    ...warns > 0 ? [`${warns} ${warns === 1 ? "warning" : "warnings"}`] : [],
  ].join(", ");
  lines.push(
    `This host is ${fit ? "" : "not "}fit for passthrough${what}` +
      (counts === "" ? "" : `: ${counts}`),
  );
  return lines.map((line) => `${line}\n`).join("");
}

function devices(alike: readonly Finding[]): string {
  const names = alike.flatMap(({ device }) => device ?? []);
  if (names.length === 0) return "";
  const named = names.length <= MAX_NAMED ? names : [
    ...names.slice(0, MAX_NAMED - 1),
    `${names.length - MAX_NAMED + 1} more`,
  ];
  return `${named.join(", ")}: `;
}
