/**
 * The examples in the comments of modules, as tests. `deno test --doc` runs each
 * in an isolate of its own, which loads the library anew: most of a minute in an
 * emulated guest.
 *
 * @module
 */
import { join } from "@std/path";
import { ROOT } from "../../scripts/dev/deno.ts";
import { blocksOf } from "../unit/docs/page.ts";

/** An example. */
interface Example {
  /** Where it is, as `lib/errors.ts:12`. */
  readonly name: string;
  readonly text: string;
}

/**
 * Reads the examples in the comments of a module. What is marked `ignore` is
 * left out.
 *
 * @param file The module's path in the checkout.
 * @param source Its text.
 */
export function examplesOf(file: string, source: string): Example[] {
  return [...source.matchAll(/^ *\/\*\*.*?\*\/$/gms)].flatMap((comment) => {
    const before = source.slice(0, comment.index).split("\n").length - 1;
    return blocksOf(comment[0].replaceAll(/^ *\* ?/gm, ""))
      .filter(({ info: [language, mark] }) =>
        language === "ts" && mark !== "ignore"
      )
      .map(({ line, text }) => ({ name: `${file}:${before + line}`, text }));
  });
}

/** A folder with a module of tests. Disposing of it removes the folder. */
export class ExampleTests implements AsyncDisposable {
  readonly #folder: string;
  /** The module. */
  readonly module: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.module = join(folder, "examples_test.ts");
  }

  /**
   * Writes a test for each example, which imports it: an example is a script.
   *
   * @param files Modules, as paths in the checkout.
   */
  static async write(files: readonly string[]): Promise<ExampleTests> {
    const folder = await Deno.makeTempDir({ prefix: "passthru-" });
    const tests = new ExampleTests(folder);
    const examples = (await Promise.all(
      files.map(async (file) =>
        examplesOf(file, await Deno.readTextFile(new URL(file, ROOT)))
      ),
    )).flat();
    for (const [i, { text }] of examples.entries()) {
      await Deno.writeTextFile(join(folder, `${i}.ts`), `${text}export {};\n`);
    }
    await Deno.writeTextFile(
      tests.module,
      examples.map(({ name }, i) =>
        `Deno.test(${JSON.stringify(name)}, async () => {
  await import("./${i}.ts");
});
`
      ).join(""),
    );
    return tests;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}
