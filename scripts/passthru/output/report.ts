/**
 * A page about a host, in one file that needs no other.
 *
 * @module
 */

import { createHash } from "node:crypto";
import type {
  Diagnosis,
  Finding,
  Verdict,
} from "../../../lib/doctor/finding.ts";
import type { PciTree } from "../../../lib/host/pci/topology/tree.ts";
import { escapeXml, printableLines } from "../../../lib/printable.ts";
import { SNAPSHOT_ID } from "../run/snapshot_text.ts";
import { counted } from "./format.ts";
import { REPORT_SCRIPT, REPORT_STYLE } from "./report_parts.ts";
import { renderSvg } from "./svg.ts";

/** A function on the page. */
export interface ReportedFunction {
  /** Its address. */
  readonly address: string;
  /** What it is, in a line. */
  readonly title: string;
  /** What is known of it. */
  readonly rows: readonly (readonly [name: string, value: string])[];
}

/** What is on the page. */
export interface Report {
  /** The topology. */
  readonly tree: PciTree;
  /** What the doctor finds. */
  readonly diagnosis: Diagnosis;
  /** The functions. */
  readonly functions: readonly ReportedFunction[];
  /** The host, to simulate it. */
  readonly snapshot: unknown;
}

/**
 * Writes the page. Its text is the host's, so that all of it is escaped, and
 * its own policy lets it load nothing and run nothing but its one script.
 *
 * @param report What is on it.
 */
export function renderReport(report: Report): string {
  const { tree, diagnosis, functions, snapshot } = report;
  const { findings, fit } = diagnosis;
  const addresses = new Set(functions.map(({ address }) => address));
  const ofHost = findings.filter(({ device }) =>
    device === undefined || !addresses.has(device)
  );
  const hash = createHash("sha256").update(REPORT_SCRIPT).digest("base64");
  const policy = `default-src 'none'; style-src 'unsafe-inline'; ` +
    `script-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Device passthrough on this host</title>
<style>${REPORT_STYLE}
</style>
</head>
<body>
<main>
<h1>Device passthrough on this host</h1>
<p>${counted(functions.length, "PCI function")}; the doctor finds it ${
    fit ? "fit" : "not fit"
  }.</p>
<nav aria-label="Parts"><a href="#findings">What the doctor finds</a>
<a href="#topology">Topology</a> <a href="#functions">Functions</a></nav>
<h2 id="findings">What the doctor finds</h2>
${findingsPart(ofHost, addresses)}<h2 id="topology">Topology</h2>
<div class="drawing" tabindex="0" role="region" aria-label="Topology">
${renderSvg(tree, linkOf)}</div>
<h2 id="functions">Functions</h2>
<p class="search" hidden><label>Search <input type="search"></label>
<output></output></p>
${functions.map((fn) => functionPart(fn, findings)).join("")}</main>
<script type="application/json" id="${SNAPSHOT_ID}">${
    JSON.stringify(snapshot).replaceAll("<", "\\u003c")
  }</script>
<script>${REPORT_SCRIPT}</script>
</body>
</html>
`;
}

function linkOf(address: string): string {
  return `#${idOf(address)}`;
}

function idOf(address: string): string {
  return `f-${address}`;
}

/** What is wrong, and below it, folded, what is not. */
function findingsPart(
  findings: readonly Finding[],
  addresses: ReadonlySet<string>,
): string {
  const of = (wanted: readonly Verdict[]) =>
    wanted.flatMap((verdict) =>
      findings.filter((finding) => finding.verdict === verdict)
    );
  const wrong = of(["fail", "warn", "unknown"]);
  const passed = of(["pass"]);
  return (wrong.length === 0
    ? "<p>Nothing is wrong.</p>\n"
    : findingList(wrong, addresses)) + (passed.length === 0 ? "" : `<details>
<summary>${counted(passed.length, "check")} passed</summary>
${findingList(passed, addresses)}</details>
`);
}

function functionPart(
  { address, title, rows }: ReportedFunction,
  findings: readonly Finding[],
): string {
  const own = findings.filter(({ device }) => device === address);
  const worst = own.some(({ verdict }) => verdict === "fail")
    ? "fail"
    : own.some(({ verdict }) => verdict === "warn")
    ? "warn"
    : undefined;
  const mark = worst === undefined
    ? ""
    : ` <span class="${worst}"><b>${worst}</b></span>`;
  const list = own.length === 0 ? "" : findingList(own);
  return `<details class="function" id="${escaped(idOf(address))}">
<summary><span class="mono">${escaped(address)}</span> ${
    escaped(title)
  }${mark}</summary>
${list}<dl>
${
    rows.map(([name, value]) =>
      `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>\n`
    ).join("")
  }</dl>
</details>
`;
}

function findingList(
  findings: readonly Finding[],
  addresses?: ReadonlySet<string>,
): string {
  const items = findings.map((finding) => findingItem(finding, addresses));
  return `<ul class="findings">\n${items.join("")}</ul>\n`;
}

/** A finding; about a device that has no part of its own, with its name. */
function findingItem(
  { verdict, device, text, remedy }: Finding,
  addresses?: ReadonlySet<string>,
): string {
  const subject = addresses === undefined || device === undefined
    ? ""
    : `${escaped(device)}: `;
  const remedyText = remedy === undefined
    ? ""
    : ` <span class="remedy">${escaped(remedy)}</span>`;
  return `<li class="${verdict}"><b>${verdict}</b> <span>${subject}${
    escaped(text)
  }${remedyText}</span></li>\n`;
}

function escaped(text: string): string {
  return escapeXml(printableLines(text));
}
