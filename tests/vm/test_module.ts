/**
 * A module of tests that is written for one run, in a folder that guests see.
 *
 * @module
 */
import { join } from "@std/path";

/** A module, alone in its folder. Disposing of it removes the folder. */
export class TestModule implements AsyncDisposable {
  readonly #folder: string;
  /** Where it is. */
  readonly path: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, "all_test.ts");
  }

  /**
   * Writes a module.
   *
   * @param text The module.
   * @param beside Modules that it imports, by the names of their files.
   */
  static async write(
    text: string,
    beside: Readonly<Record<string, string>> = {},
  ): Promise<TestModule> {
    const folder = await Deno.makeTempDir({ prefix: "passthru-" });
    const module = new TestModule(folder);
    await Deno.writeTextFile(module.path, text);
    for (const [name, text] of Object.entries(beside)) {
      await Deno.writeTextFile(join(folder, name), text);
    }
    return module;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}
