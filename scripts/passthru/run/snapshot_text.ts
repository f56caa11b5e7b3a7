/**
 * The snapshot in what `--simulate` names.
 *
 * @module
 */

/** The id of the element of a report that has the snapshot. */
export const SNAPSHOT_ID = "passthru-snapshot";

/**
 * Returns the JSON of a snapshot: that in a report, or the text itself.
 *
 * @param text A snapshot, or a page that `passthru report` has written.
 * @throws {SyntaxError} When it is a page without a snapshot.
 */
export function snapshotText(text: string): string {
  if (!/^\s*<!doctype html/i.test(text)) return text;
  const start = `<script type="application/json" id="${SNAPSHOT_ID}">`;
  const from = text.indexOf(start);
  const to = text.indexOf("</script>", from);
  if (from < 0 || to < 0) throw new SyntaxError("the page has no snapshot");
  return text.slice(from + start.length, to);
}
