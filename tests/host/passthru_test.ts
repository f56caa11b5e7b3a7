/**
 * Runs the command in a process, with `--allow-ffi` only.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { chooseConfig } from "../../scripts/dev/std.ts";

const ROOT = new URL("../../", import.meta.url);
const CONFIG = fromFileUrl(new URL(await chooseConfig(), ROOT));
const SCRIPT = fromFileUrl(new URL("scripts/passthru.ts", ROOT));

const ADDRESSES = Array.from(Deno.readDirSync("/sys/bus/pci/devices"))
  .map(({ name }) => name).sort();

/** A host for `--simulate`. */
const SNAPSHOT = JSON.stringify({
  functions: { "0000:01:00.0": { id: "8086:10d3", driver: "e1000e" } },
});

const ARGS = ["run", "--no-prompt", "--no-lock", "--config", CONFIG];

async function passthru(
  args: string[],
  options: Deno.CommandOptions & { script?: string; flags?: string[] } = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const { script = SCRIPT, flags = [], ...rest } = options;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...ARGS, "--allow-ffi", ...flags, script, ...args],
    stdin: "null",
    ...rest,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("passthru lists this host when FFI is its only permission", async () => {
  const { code, stdout, stderr } = await passthru(["list", "--json"]);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(
    JSON.parse(stdout).map(({ address }: { address: string }) => address),
    ADDRESSES,
  );
});

Deno.test("passthru lists this host when it is run by URL", async () => {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const text = await Deno.readTextFile(new URL(`.${pathname}`, ROOT));
      return new Response(text, {
        headers: { "content-type": "application/typescript" },
      });
    },
  );
  const host = `127.0.0.1:${server.addr.port}`;
  const cache = await Deno.makeTempDir();
  try {
    const { code, stdout, stderr } = await passthru(["list", "--json"], {
      script: `http://${host}/scripts/passthru.ts`,
      flags: [`--allow-import=${host}`, "--quiet"],
      env: { DENO_DIR: cache },
    });
    assertEquals([code, stderr], [0, ""]);
    assertEquals(JSON.parse(stdout).length, ADDRESSES.length);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("passthru names the missing permission when it has none", async () => {
  const { code, stderr } = await passthru(["list"], {
    flags: ["--deny-ffi"],
  });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "hint: the command needs --allow-ffi");
});

Deno.test("passthru exits with the code of its result", async () => {
  assertEquals((await passthru(["lst"])).code, 2);
  assertEquals((await passthru(["show", "ffff:ff:1f.7"])).code, 1);
});

Deno.test("passthru prints no error when nobody reads its output", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...ARGS, "--allow-ffi", SCRIPT, "snapshot"],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await child.stdout.cancel();
  const stderr = await new Response(child.stderr).text();
  assertEquals([(await child.status).code, stderr], [0, ""]);
});

Deno.test("passthru apply takes a state from standard input when it is -", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(path, SNAPSHOT);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...[...ARGS, "--allow-ffi", SCRIPT, "apply", "-", "--dry-run"],
        ...["--simulate", path],
      ],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    const state = 'functions: [{ select: "01:00.0", driver: vfio-pci }]\n';
    await writer.write(new TextEncoder().encode(state));
    await writer.close();
    const stdout = await new Response(child.stdout).text();
    assertEquals((await child.status).code, 0);
    assertStringIncludes(stdout, "0000:01:00.0  driver vfio-pci");
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("passthru --keep replaces the file of --simulate, with its mode", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/host.json`, SNAPSHOT, { mode: 0o640 });
    await Deno.chmod(`${folder}/host.json`, 0o640);
    const run = async (...words: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command(
        Deno.execPath(),
        {
          args: [
            ...[...ARGS, "--allow-ffi", SCRIPT, "--simulate", "host.json"],
            ...words,
          ],
          cwd: folder,
        },
      ).output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      assertEquals([code, text(stderr)], [0, ""]);
      return text(stdout);
    };
    await run("--keep", "bind", "01:00.0");
    assertStringIncludes(await run("status"), "holds  0000:01:00.0");
    const { mode } = await Deno.stat(`${folder}/host.json`);
    assertEquals(mode! & 0o7777, 0o640);
    assertEquals(
      Array.from(Deno.readDirSync(folder), ({ name }) => name),
      ["host.json"],
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`passthru attach holds the device until ${signal}`, async () => {
    const path = await Deno.makeTempFile({ suffix: ".json" });
    try {
      await Deno.writeTextFile(path, SNAPSHOT);
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...[...ARGS, "--allow-ffi", SCRIPT, "attach", "01:00.0"],
          ...["--simulate", path],
        ],
        stdin: "null",
        stdout: "piped",
      }).spawn();
      let out = "";
      for await (
        const text of child.stdout.pipeThrough(new TextDecoderStream())
      ) {
        const printed = out.includes("\nDMA\n");
        out += text;
        if (!printed && out.includes("\nDMA\n")) child.kill(signal);
      }
      assert(out.includes("config"), out);
      assertEquals((await child.status).code, 0);
    } finally {
      await Deno.remove(path);
    }
  });
}

Deno.test("passthru attach goes on after SIGHUP when nohup has started it", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(path, SNAPSHOT);
    const child = new Deno.Command("nohup", {
      args: [
        ...[Deno.execPath(), ...ARGS, "--allow-ffi", SCRIPT, "attach"],
        ...["01:00.0", "--simulate", path],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
    let out = "";
    while (!out.includes("\nDMA\n")) out += (await reader.read()).value ?? "";
    child.kill("SIGHUP");
    const ended = await Promise.race([
      child.status.then(() => true),
      new Promise((resolve) => setTimeout(() => resolve(false), 300)),
    ]);
    assertEquals(ended, false);
    child.kill("SIGINT");
    while (!(await reader.read()).done);
    assertEquals((await child.status).code, 0);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("passthru qemu ends with 130 when it is interrupted before QEMU runs", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/host.json`, SNAPSHOT);
    const fifo = `${folder}/asked`;
    await new Deno.Command("mkfifo", { args: [fifo] }).output();
    // It tells that it is asked what it can do, and waits.
    await Deno.writeTextFile(
      `${folder}/qemu`,
      `#!/bin/sh\necho asked > ${fifo}\nsleep 1\necho started >&2\n`,
      { mode: 0o755 },
    );
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...[...ARGS, "--allow-ffi", "--allow-run", SCRIPT, "qemu", "01:00.0"],
        ...["--simulate", `${folder}/host.json`],
        ...["--program", `${folder}/qemu`],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    await Deno.readTextFile(fifo);
    child.kill("SIGINT");
    const stderr = await new Response(child.stderr).text();
    assertEquals((await child.status).code, 130, stderr);
    assertEquals(
      stderr,
      "passthru: interrupted, and everything is as it was\n",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("passthru tells that its output could not be written, when the disk is full", async () => {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(path, SNAPSHOT);
    const words = [Deno.execPath(), ...ARGS, "--allow-ffi", SCRIPT];
    const { code, stderr } = await new Deno.Command("sh", {
      args: [
        ...["-c", '"$@" > /dev/full', "sh", ...words, "bind", "01:00.0"],
        ...["--simulate", path],
      ],
    }).output();
    const err = new TextDecoder().decode(stderr);
    assertEquals(code, 5, err);
    assertStringIncludes(err, "cannot write standard output: No space left");
    assertStringIncludes(err, "hint: the command itself is done");
    assertEquals(err.includes("    at "), false, err);
  } finally {
    await Deno.remove(path);
  }
});
