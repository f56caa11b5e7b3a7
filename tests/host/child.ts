/**
 * Runs scripts in processes of their own, with chosen permissions only.
 *
 * @module
 */

/** The checkout. */
const ROOT = new URL("../../", import.meta.url);

/** How a script ended. */
export interface Outcome {
  readonly code: number;
  /** The signal that ended it, such as `"SIGSEGV"`. */
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a script.
 *
 * @param script TypeScript. An import from `/…` is from the checkout.
 * @param flags Flags of Deno, such as `--allow-ffi`.
 * @param env Added to the environment.
 */
export async function runScript(
  script: string,
  flags: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const { PASSTHRU_TRACE: _, ...inherited } = Deno.env.toObject();
  await using child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-config", "--no-prompt", "--ext=ts", ...flags, "-"],
    clearEnv: true,
    env: { ...inherited, NO_COLOR: "1", ...env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const text = script.replaceAll(/from "\/([^"]+)"/g, (_, path) => {
    return `from "${new URL(path, ROOT)}"`;
  });
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, signal, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  return { code, signal, stdout: out!, stderr: err! };
}
