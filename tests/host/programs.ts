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
