/**
 * The processes that make reads and writes that can hang.
 */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { cpuUsage } from "node:process";
import { KernelError } from "../../lib/kernel/errno.ts";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { O_NONBLOCK, O_RDWR } from "../../lib/uapi/linux/fcntl.ts";
import { runScript } from "./child.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

/** A named pipe that is full, so that a write to it hangs. */
async function fullPipe() {
  const dir = await Deno.makeTempDir();
  const path = join(dir, "pipe");
  const { success } = await new Deno.Command("mkfifo", { args: [path] })
    .output();
  assert(success);
  const fd = kernel.open(path, O_RDWR | O_NONBLOCK);
  const page = new Uint8Array(4096);
  for (;;) {
    try {
      kernel.write(fd, page);
    } catch (error) {
      assert(error instanceof KernelError && error.code === "EAGAIN");
      break;
    }
  }
  return {
    path,
    /** Reads all that is in it. */
    drain: () => {
      let text = "";
      const bytes = new Uint8Array(4096);
      try {
        for (;;) {
          const length = kernel.read(fd, bytes);
          text += new TextDecoder().decode(bytes.subarray(0, length));
        }
      } catch (error) {
        assert(error instanceof KernelError && error.code === "EAGAIN");
        return text.replaceAll("\0", "");
      }
    },
    async [Symbol.asyncDispose]() {
      kernel.close(fd);
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** The children of a process, including zombies. */
function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (statOf(Number(name))?.parent === pid) children.push(Number(name));
  }
  return children;
}

function statOf(pid: number) {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const [, parent, , session] = stat.slice(stat.lastIndexOf(")") + 2)
      .split(" ");
    return { parent: Number(parent), session: Number(session) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Waits until `find` returns something. There is no time limit, as the machine
 * may be busy.
 */
async function eventually<T>(find: () => T | undefined): Promise<T> {
  for (;;) {
    const found = find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("LibcKernel.writeFileAsync() leaves no process and no descriptor when it ends or fails", async () => {
  const fds = () => [...Deno.readDirSync("/proc/self/fd")].length;
  const [open, children] = [fds(), childrenOf(Deno.pid)];
  await Promise.all(Array.from({ length: 30 }, async (_, i) => {
    if (i % 3 === 0) await kernel.writeFileAsync("/dev/null", "x");
    else if (i % 3 === 1) await kernel.readFileAsync("/proc/self/limits");
    else await assertRejects(() => kernel.writeFileAsync("/dev/full", "x"));
  }));
  assertEquals(fds(), open);
  assertEquals(childrenOf(Deno.pid), children);
});

Deno.test("LibcKernel.writeFileAsync() and Deno each wait for their own children", async () => {
  const run = (code: number) =>
    new Deno.Command("sh", { args: ["-c", `sleep 0.0${code}; exit ${code}`] })
      .output();
  let done = false;
  const writing = (async () => {
    while (!done) await kernel.writeFileAsync("/dev/null", "x");
  })();
  for (let i = 0; i < 5; i++) {
    const outputs = await Promise.all([1, 2, 3, 4].map(run));
    assertEquals(outputs.map(({ code }) => code), [1, 2, 3, 4]);
  }
  done = true;
  await writing;
});

Deno.test("LibcKernel.writeFileAsync() takes milliseconds of processor time", async () => {
  const start = cpuUsage();
  for (let i = 0; i < 50; i++) await kernel.writeFileAsync("/dev/null", "x");
  const { user, system } = cpuUsage(start);
  const each = (user + system) / 1000 / 50;
  console.log(`    ${each.toFixed(1)} ms a write`);
  assertLess(each, 50);
});

Deno.test("LibcKernel.readFileAsync() returns the text of an attribute", async () => {
  const path = await Deno.makeTempFile();
  for (const text of ["", "0x8086\n", "€".repeat(1000), "x".repeat(65536)]) {
    await Deno.writeTextFile(path, text);
    assert(await kernel.readFileAsync(path) === text, `${text.length}`);
  }
  await Deno.remove(path);
  assertEquals(
    await kernel.readFileAsync("/proc/self/limits"),
    kernel.readFile("/proc/self/limits"),
  );
});

Deno.test("LibcKernel.readFileAsync() throws the errno when it fails", async () => {
  for (
    const [path, code, syscall] of [
      ["/nonexistent/file", "ENOENT", "open"],
      ["/proc/self/fd", "EISDIR", "read"],
      ["/proc/self/mem", "EIO", "read"],
    ] as const
  ) {
    const error = await assertRejects(
      () => kernel.readFileAsync(path),
      KernelError,
    );
    assertEquals([error.code, error.syscall, error.path], [
      code,
      syscall,
      path,
    ]);
  }
});

Deno.test("LibcKernel.writeFileAsync() blocks nothing when it hangs", async () => {
  await using pipe = await fullPipe();
  let done = false;
  const writing = kernel.writeFileAsync(pipe.path, "text")
    .finally(() => done = true);
  const [writer] = await eventually(() => {
    const children = childrenOf(Deno.pid);
    return children.length > 0 ? children : undefined;
  });
  // The writer has its own session, so that the terminal's signals do not reach
  // it.
  await eventually(() => statOf(writer!)?.session === writer || undefined);
  assertEquals(done, false);
  // The write completes as soon as there is room.
  const early = pipe.drain();
  await writing;
  assertEquals(early + pipe.drain(), "text");
  assertEquals(childrenOf(Deno.pid), []);
});

Deno.test("LibcKernel.writeFileAsync() lets its process end when it hangs, and goes on", async () => {
  await using pipe = await fullPipe();
  const { code, stdout, stderr } = await runScript(
    `
    import { LibcKernel } from "/lib/kernel/libc.ts";
    const { symbols } = Deno.dlopen("libc.so.6", {
      dup: { parameters: ["i32"], result: "i32" },
    });
    // Without close-on-exec: a child process would inherit it.
    symbols.dup(1);
    const kernel = new LibcKernel();
    kernel.writeFileAsync(${JSON.stringify(pipe.path)}, "text");
    const pid = kernel.readlink("/proc/self");
    const stat = (name) => kernel.readFile("/proc/" + name + "/stat")
      .split(" ");
    // The child is the writer once it has closed everything else.
    const isWriter = (name) => {
      try {
        return /^\\d+$/.test(name) && stat(name)[3] === pid &&
          stat(name)[1] === "(passthru-write)" &&
          kernel.readdir("/proc/" + name + "/fd").join(" ") === "0";
      } catch {
        return false;
      }
    };
    setInterval(() => {
      const writer = kernel.readdir("/proc").find(isWriter);
      if (writer === undefined) return;
      console.log(kernel.readdir("/proc/" + writer + "/fd").join(" "));
      Deno.exit(7);
    }, 10);`,
    ["--allow-ffi"],
  );
  // If the writer had this standard output, that would not have ended.
  assertEquals({ code, stdout, stderr }, {
    code: 7,
    stdout: "0\n",
    stderr: "",
  });
  assertEquals(await eventually(() => pipe.drain() || undefined), "text");
});

Deno.test("LibcKernel.writeFileAsync() and readFileAsync() make each call once, and give its errno", async () => {
  const { code, stdout, stderr } = await runScript(
    `
    import { LibcKernel } from "/lib/kernel/libc.ts";
    const kernel = new LibcKernel();
    for (const step of [
      () => kernel.writeFileAsync("/dev/full", "x"),
      () => kernel.readFileAsync("/proc/self/mem"),
      () => kernel.writeFileAsync("/proc/self/oom_score_adj", "5000"),
    ]) {
      try {
        await step();
      } catch (error) {
        console.log(error.message);
      }
    }`,
    ["--allow-ffi"],
    { PATH: "/nonexistent" },
  );
  assertEquals({ code, stdout, stderr }, {
    code: 0,
    stdout: "write /dev/full: ENOSPC (No space left on device)\n" +
      "read /proc/self/mem: EIO (Input/output error)\n" +
      "write /proc/self/oom_score_adj: EINVAL (Invalid argument)\n",
    stderr: "",
  });
});

Deno.test("LibcKernel.writeFileAsync() is given up when the signal says so, and goes on", async () => {
  await using pipe = await fullPipe();
  // A process of its own, as it ends no earlier than the call that was given up.
  const { code, stdout, stderr } = await runScript(
    `
    import { LibcKernel } from "/lib/kernel/libc.ts";
    import { O_NONBLOCK, O_RDWR } from "/lib/uapi/linux/fcntl.ts";
    const kernel = new LibcKernel();
    const abort = new AbortController();
    const writing = kernel.writeFileAsync("${pipe.path}", "text", abort);
    abort.abort(new Error("enough"));
    await writing.catch((error) => console.log(error.message));
    const fd = kernel.open("${pipe.path}", O_RDWR | O_NONBLOCK);
    const bytes = new Uint8Array(4096);
    for (let text = ""; !text.endsWith("text");) {
      try {
        const length = kernel.read(fd, bytes);
        text += new TextDecoder().decode(bytes.subarray(0, length));
      } catch (error) {
        if (error.code !== "EAGAIN") throw error;
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    console.log("written");`,
    ["--allow-ffi"],
  );
  assertEquals({ code, stdout, stderr }, {
    code: 0,
    stdout: "enough\nwritten\n",
    stderr: "",
  });
});
