/**
 * Programs of others: tests that need them are skipped where they are missing.
 *
 * @module
 */

/**
 * Whether a program is on the PATH.
 *
 * @param name Its name.
 */
export function onPath(name: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((directory) => {
    try {
      return Deno.statSync(`${directory}/${name}`).isFile;
    } catch {
      return false;
    }
  });
}

/**
 * Why programs cannot be run here as root; `undefined` where they can.
 *
 * @param programs Their names.
 */
export function whyNot(...programs: readonly string[]): string | undefined {
  const missing = programs.find((name) => !onPath(name));
  if (missing !== undefined) return `${missing} is not installed`;
  return Deno.uid() === 0 ? undefined : "only root can";
}

/**
 * Declares a test that is skipped for a reason, and says so.
 *
 * @param reason The reason; `undefined` where it runs.
 * @param name Its name.
 * @param fn The test. It gets a folder, which is removed afterwards.
 */
export function testUnless(
  reason: string | undefined,
  name: string,
  fn: (folder: string) => Promise<void>,
): void {
  const why = reason === undefined ? "" : ` (skipped: ${reason})`;
  Deno.test({
    name: `${name}${why}`,
    ignore: reason !== undefined,
    async fn() {
      const folder = await Deno.makeTempDir();
      try {
        await fn(folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}
