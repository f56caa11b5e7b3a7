/**
 * Reads the runnable parts of documentation pages.
 *
 * @module
 */

/** A fenced block of a page. */
export interface Block {
  /** The words after the fence: `["sh"]`, `["ts", "ignore"]`. */
  readonly info: readonly string[];
  readonly text: string;
  /** The line that it begins at. */
  readonly line: number;
  /** The file that it shows, where the page says so. */
  readonly file: string | undefined;
}

/**
 * Splits a page into its blocks. A block shows a file when the line before it
 * ends with the file's name and a colon, as in "`state.yaml`:", or when its
 * first line is a comment with that name.
 *
 * @param text The page, in Markdown.
 */
export function blocksOf(text: string): Block[] {
  const fences = /^( *)```([^\n`]*)\n(.*?)^\1```$/gms;
  return [...text.matchAll(fences)].map((match) => {
    const [, indent = "", info = "", inside = ""] = match;
    const before = text.slice(0, match.index).trimEnd();
    const content = inside.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    const file = /^(?:\/\/|#) ([\w./-]+\.(?:ts|ya?ml))$/m.exec(
      content.split("\n")[0]!,
    )?.[1] ?? /`([\w./-]+\.(?:json|ya?ml))`:$/.exec(before)?.[1];
    return {
      info: info.split(" ").filter((word) => word !== ""),
      text: content,
      line: text.slice(0, match.index).split("\n").length,
      file,
    };
  });
}

/** The parts of a command line. */
export interface CommandLine {
  readonly words: readonly string[];
  /** The file that its output goes to. */
  readonly output: string | undefined;
}

/**
 * Reads the command lines of a shell block: words, quotes, `>`, comments, and
 * lines that a backslash continues. It throws where other shell syntax is used.
 *
 * @param text The block.
 */
export function commandLines(text: string): CommandLine[] {
  const lines: CommandLine[] = [];
  for (const line of text.replaceAll(/\\\n\s*/g, " ").split("\n")) {
    const written = /'[^']*'|"[^"$`\\]*"|#.*|>|[^\s'"#>]+/g;
    const tokens = (line.match(written) ?? [])
      .filter((token) => !token.startsWith("#"));
    const rest = line.replaceAll(written, "").trim();
    if (rest !== "" || tokens.some((token) => /^[|&;<$`(]/.test(token))) {
      throw new SyntaxError(`Shell syntax that is not supported: ${line}`);
    }
    if (tokens.length === 0) continue;
    const words = tokens.map((token) => token.replace(/^(['"])(.*)\1$/, "$2"));
    const to = tokens.indexOf(">");
    lines.push({
      words: to < 0 ? words : words.slice(0, to),
      output: to < 0 ? undefined : words[to + 1],
    });
  }
  return lines;
}

/**
 * Whether an output is what a page shows. A line "…" stands for any number of
 * lines, and "…" in a line for any part of it.
 *
 * @param printed What was printed.
 * @param shown What the page shows.
 */
export function isAsShown(printed: string, shown: string): boolean {
  const pattern = shown.trimEnd().split("\n").map((line) => {
    if (line.trim() === "…") return "(?:.*\\n)*?";
    const escaped = line.trimEnd().replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
    return `${escaped.replaceAll("…", ".*")} *\\n`;
  });
  return new RegExp(`^${pattern.join("")}$`).test(`${printed.trimEnd()}\n`);
}
