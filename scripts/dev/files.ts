/**
 * The checkout's TypeScript files.
 *
 * @module
 */

/**
 * Finds the TypeScript files below a folder, except in `node_modules` and in
 * folders whose name begins with a dot.
 *
 * @param root where paths begin, a `file:` URL with a slash at its end
 * @param folder a path below it, with a slash at its end, or the empty string
 * @returns the files' paths below `root`
 */
export async function* typescriptFiles(
  root: URL,
  folder: string,
): AsyncGenerator<string> {
  for await (
    const { name, isDirectory } of Deno.readDir(new URL(folder, root))
  ) {
    if (isDirectory && !name.startsWith(".") && name !== "node_modules") {
      yield* typescriptFiles(root, `${folder}${name}/`);
    } else if (name.endsWith(".ts")) {
      yield `${folder}${name}`;
    }
  }
}
