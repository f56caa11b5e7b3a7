import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ROOT } from "../../scripts/dev/deno.ts";

/** Runs a deno command of the checkout as a fresh terminal would. */
async function run(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { PASSTHRU_DENO_CONFIG: _, ...inherited } = Deno.env.toObject();
  const output = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    clearEnv: true,
    env: { ...inherited, NO_COLOR: "1", ...env },
  }).output();
  const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) =>
    new TextDecoder().decode(bytes)
  );
  return { code: output.code, stdout: stdout!, stderr: stderr! };
}

/** Runs a script that prints the chosen configuration. */
async function chosenConfig(jsr: string) {
  const script = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(
      script,
      `console.log(Deno.env.get("PASSTHRU_DENO_CONFIG"), ...Deno.args);
       Deno.exit(7);`,
    );
    return await run(
      ["run", "-A", "scripts/dev/run.ts", script, "--flag", "--", "rest"],
      { JSR_URL: jsr },
    );
  } finally {
    await Deno.remove(script);
  }
}

/** A registry that answers every request with a status. */
function registry(status: number) {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("{}", { status }),
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("run.ts takes deno.json when JSR answers", async () => {
  await using jsr = registry(200);
  assertEquals(await chosenConfig(jsr.url), {
    code: 7,
    stdout: "deno.json --flag -- rest\n",
    stderr: "",
  });
});

Deno.test("run.ts takes deno.offline.json and says so when JSR does not answer", async () => {
  const expected = {
    code: 7,
    stdout: "deno.offline.json --flag -- rest\n",
    stderr: "jsr is out of reach: using deno.offline.json\n",
  };
  let closed: string;
  {
    await using jsr = registry(503);
    closed = jsr.url;
    assertEquals(await chosenConfig(jsr.url), expected);
  }
  assertEquals(await chosenConfig(closed), expected);
});

Deno.test("deno task test prints the times and the count of tests at its end", async () => {
  const { code, stdout } = await run(
    ["task", "test", "tests/host/outcome_test.ts", "--filter", "sum"],
  );
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /how long each part took\n.* preparation\n.* host\n.*\n── the slowest tests\n.* host: summary.*\n1 passed, 0 failed, 3 skipped\n$/,
  );
});

Deno.test("deno task test fails when no test ran", async () => {
  const { code, stdout } = await run(
    ["task", "test", "tests/host/outcome_test.ts", "--filter", "no such test"],
  );
  assertEquals(code, 1);
  assertMatch(stdout, /\nno test ran\n0 passed, 0 failed, 4 skipped\n$/);
});

Deno.test("deno task test shows its usage when an option is wrong", async () => {
  const wrong: Record<string, string[]> = {
    "Unknown option --ownly": ["--ownly", "unit"],
    '--accel is kvm or tcg, not "xen"': ["--accel", "xen"],
  };
  for (const [message, args] of Object.entries(wrong)) {
    const { code, stderr } = await run(["task", "test", ...args]);
    assertEquals(code, 2);
    assertStringIncludes(
      stderr,
      `${message}\n\ndeno task test [OPTION...]`,
    );
  }
});
