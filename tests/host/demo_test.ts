import { assertEquals, assertStringIncludes } from "@std/assert";
import { deno } from "../../scripts/dev/deno.ts";

/** Runs the demo's command, and gives its exit code and what it prints. */
async function demo(...args: string[]) {
  const command = await deno("run", ["-A", "scripts/demo.ts", ...args], {
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const [out, err] = [stdout, stderr].map((b) => new TextDecoder().decode(b));
  return { code, out: out!, err: err! };
}

Deno.test("demo.ts shows its usage when --help is given", async () => {
  const { code, out } = await demo("--help");
  assertEquals(code, 0);
  assertStringIncludes(out, "--device ADDRESS");
});

Deno.test("demo.ts exits with 2 and its usage when arguments are wrong", async (t) => {
  const wrong: Record<string, string[]> = {
    "Unknown argument: --devise": ["--devise", "0000:01:00.0"],
    "Unknown argument: 0000:01:00.0": ["0000:01:00.0"],
    "not both": ["--device", "0000:01:00.0", "--machine", "testbed"],
    'no backend "vhost"': ["--backend", "vhost"],
    'no machine "debian-3"': ["--machine", "debian-3"],
    'Cannot parse PCI address "first"': ["--device", "first"],
    '--accel is kvm or tcg, not "xen"': ["--accel", "xen"],
    "--device needs a value": ["--device"],
  };
  for (const [message, args] of Object.entries(wrong)) {
    await t.step(args.join(" "), async () => {
      const { code, out, err } = await demo(...args);
      assertEquals([code, out], [2, ""]);
      assertStringIncludes(err, message);
      assertStringIncludes(err, "deno task demo [OPTION...]");
    });
  }
});

Deno.test("demo.ts exits with 1 when there is no such function", async () => {
  const { code, err } = await demo("--device", "ffff:ff:1f.7");
  assertEquals(code, 1);
  assertStringIncludes(err, "there is no PCI function at this address");
});
