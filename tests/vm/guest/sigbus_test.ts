/**
 * An access to a mapped register while memory decoding is off ends a process. The
 * library throws instead.
 */
import { assertEquals } from "@std/assert";
import { forEachBackend } from "./setup.ts";

forEachBackend(
  "a mapped register throws where the kernel would end the process with SIGBUS",
  async (setup) => {
    const { address } = await setup.take("edu1");
    const { signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--no-lock"],
        ...["--config", "deno.offline.json"],
        new URL("sigbus.ts", import.meta.url).pathname,
        ...[address, setup.backend],
      ],
    }).output();
    const text = new TextDecoder();
    assertEquals(
      text.decode(stdout).trimEnd().split("\n"),
      ["10000ed 10000ed", "INACCESSIBLE", "10000ed 10000ed"],
      text.decode(stderr),
    );
    assertEquals(signal, "SIGBUS");
  },
);
