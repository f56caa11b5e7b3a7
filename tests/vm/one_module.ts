/**
 * One module of tests in place of several. Deno gives each module of tests an
 * isolate of its own, which loads the library anew: a quarter of a minute in an
 * emulated guest.
 *
 * @module
 */
import { join, resolve, toFileUrl } from "@std/path";
import { CHECKOUT } from "./guest.ts";

/** A module that imports others. Disposing of it removes its file. */
export class OneModule implements AsyncDisposable {
  readonly #folder: string;
  /** Where it is. */
  readonly path: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, "all_test.ts");
  }

  /**
   * Writes the module.
   *
   * @param files What it imports, paths from the checkout or absolute.
   */
  static async of(files: readonly string[]): Promise<OneModule> {
    const folder = await Deno.makeTempDir({ prefix: "passthru-" });
    const module = new OneModule(folder);
    await Deno.writeTextFile(
      module.path,
      files.map((file) =>
        `import "${toFileUrl(resolve(CHECKOUT, file)).href}";\n`
      ).join(""),
    );
    return module;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}
