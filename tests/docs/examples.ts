/**
 * The examples in the comments of modules, as tests. `deno test --doc` runs each
 * in an isolate of its own, which loads the library anew: most of a minute in an
 * emulated guest.
 *
 * @module
 */
import { ROOT } from "../../scripts/dev/deno.ts";
import { blocksOf } from "../unit/docs/page.ts";
import { TestModule } from "../vm/test_module.ts";

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

/**
 * Writes a test for each example, which imports it: an example is a script.
 *
 * @param files Modules, as paths in the checkout.
 * @returns The tests, which are removed when they are disposed of.
 */
export async function exampleTests(
  files: readonly string[],
): Promise<TestModule> {
  const examples = (await Promise.all(
    files.map(async (file) =>
      examplesOf(file, await Deno.readTextFile(new URL(file, ROOT)))
    ),
  )).flat();
  const tests = examples.map(({ name }, i) =>
    `Deno.test(${JSON.stringify(name)}, async () => {
  await import("./${i}.ts");
});
`
  );
  const scripts = examples.map(({ text }, i) =>
    [`${i}.ts`, `${text}export {};\n`] as const
  );
  return await TestModule.write(tests.join(""), Object.fromEntries(scripts));
}
