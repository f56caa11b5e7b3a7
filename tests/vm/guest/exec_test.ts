/** Memory that a device goes on with while its program is replaced. */
import { assertEquals } from "@std/assert";
import type { Reexecuted } from "./reexec.ts";
import { addressOf, machine, Setup } from "./setup.ts";

Deno.test({
  name: "a device goes on with its memory while its program executes another",
  ignore: machine.name !== "testbed",
  async fn() {
    await using setup = new Setup("legacy");
    await setup.take("edu0");
    const script = new URL("reexec.ts", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--no-lock"],
        ...["--config", "deno.offline.json", script, addressOf("edu0")],
      ],
    }).output();
    const text = new TextDecoder();
    assertEquals([code, text.decode(stderr)], [0, ""]);
    const result: Reexecuted = JSON.parse(text.decode(stdout));
    assertEquals(result, {
      locked: ["0 kB", "8 kB"],
      written: [0x5a],
      left: 0x5a,
    });
    // Its end gives the device free.
    await setup.attach("edu0", setup.space());
  },
});
