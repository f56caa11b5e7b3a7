/**
 * What is in the place of the lock or of a journal, on this machine's kernel.
 */
import { assertEquals, assertMatch } from "@std/assert";
import { LibcKernel } from "../../lib/kernel/libc.ts";
import { openOwn } from "../../lib/host/journal/own_files.ts";
import { O_CREAT, O_RDONLY, O_WRONLY } from "../../lib/uapi/linux/fcntl.ts";
import { failure } from "../failures.ts";
import { loadAll } from "./load_all.ts";

const kernel = new LibcKernel();
await loadAll(kernel);

Deno.test("openOwn() refuses at once what is no file of this user's", async (t) => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/lock`;
  const put = (program: string, ...args: string[]) => {
    const { success } = new Deno.Command(program, { args }).outputSync();
    assertEquals(success, true);
  };
  const cases: [string, () => void, RegExp][] = [
    ["a FIFO", () => put("mkfifo", path), /is no regular file/],
    ["a directory", () => Deno.mkdirSync(path), /is no regular file/],
    ["a device", () => put("ln", "-s", "/dev/zero", path), /a symbolic link/],
    ["a file for all to write", () => {
      Deno.writeTextFileSync(path, "");
      Deno.chmodSync(path, 0o666);
    }, /other users may write to/],
  ];
  try {
    for (const [name, make, problem] of cases) {
      await t.step(name, () => {
        make();
        for (const flags of [O_RDONLY, O_RDONLY | O_CREAT, O_WRONLY]) {
          const error = failure(
            "PERMISSION_DENIED",
            () => openOwn(kernel, path, flags),
          );
          assertMatch(error.problem, problem);
        }
        Deno.removeSync(path);
      });
    }
    await t.step("a new file is private", () => {
      openOwn(kernel, path, O_WRONLY | O_CREAT).close();
      assertEquals(Deno.statSync(path).mode! & 0o7777, 0o600);
    });
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
});
