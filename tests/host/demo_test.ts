import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { deno } from "../../scripts/dev/deno.ts";

/** Runs the demo's command, and returns its exit code and output. */
async function demo(...args: string[]) {
  return await demoWith(["-A"], {}, ...args);
}

/** The same, with chosen permissions and a changed environment. */
async function demoWith(
  flags: string[],
  env: Record<string, string>,
  ...args: string[]
) {
  const all = ["--no-prompt", ...flags, "scripts/demo.ts", ...args];
  const command = await deno("run", all, {
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...env },
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
    "Give --machine or --device, not both": [
      ...["--device", "0000:01:00.0", "--machine", "testbed"],
    ],
    "Give --quick or --machine, not both": ["--machine", "testbed", "--quick"],
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

Deno.test("demo.ts --quick needs no permission and ends after the simulation", async () => {
  const { code, out, err } = await demoWith([], {}, "--quick");
  assertEquals(code, 0, err);
  assertMatch(out, /^══ Simulated/);
  assertMatch(out, /^sim .*attached[^]*by DMA$[^]*^sim .*detached/m);
  assertEquals(out.match(/Real|Booting/), null, out);
});

Deno.test("demo.ts shows the simulation before it names missing packages", async () => {
  // On this machine no package is installed, or can be.
  const dir = await Deno.makeTempDir();
  for (const name of ["dpkg-query", "apt-get"]) {
    const script = "#!/bin/sh\necho no archive >&2\nexit 100\n";
    await Deno.writeTextFile(`${dir}/${name}`, script, { mode: 0o755 });
  }
  try {
    const { code, out, err } = await demoWith(["-A"], {
      PATH: `${dir}:${Deno.env.get("PATH")}`,
      XDG_CACHE_HOME: dir,
    });
    assertEquals(code, 1, err);
    assertMatch(out, /^sim .*given back[^]*\n$/m);
    assertEquals(out.match(/Real|Booting/), null, out);
    assertMatch(err, / busybox-static cpio kmod |an x86-64 Linux/);
    // A line when a step begins, and one when it ends.
    assertEquals(err.includes("\r"), false, err);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
