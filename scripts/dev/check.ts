/**
 * `deno task check`: everything that is checked without running the code. It
 * runs all checks, and names those that failed at the end.
 *
 * @module
 */
import { deno } from "./deno.ts";
import { entryPoints } from "./entry_points.ts";

const CHECKS: ReadonlyArray<readonly [name: string, ...command: string[]]> = [
  ["format", "fmt", "--check"],
  ["lint", "lint"],
  ["types", "check", "--quiet", "--doc", "."],
  [
    "types of the pages",
    ...["check", "--quiet", "--doc-only"],
    ...["README.md", "docs/*.md", "lib/*/README.md"],
  ],
  ["documentation", "doc", "--lint", ...await entryPoints()],
  ["publish", "publish", "--quiet", "--dry-run", "--allow-dirty"],
  ["imports", "run", "-A", "scripts/dev/imports.ts"],
];

const failed: string[] = [];
for (const [name, subcommand, ...args] of CHECKS) {
  console.log(`── ${name}`);
  const { success } = await (await deno(subcommand!, args)).spawn().status;
  if (!success) failed.push(name);
}
console.log(
  failed.length === 0 ? "all checks passed" : `failed: ${failed.join(", ")}`,
);
Deno.exit(failed.length === 0 ? 0 : 1);
