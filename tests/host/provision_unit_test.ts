/**
 * Checks by systemd of the unit that applies a state at boot.
 */
import { assertEquals } from "@std/assert";
import {
  udevRules,
  unitName,
  unitText,
} from "../../lib/provision/boot/unit.ts";

/** Runs a program, where it is installed. */
async function run(
  program: string,
  ...args: string[]
): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args })
    .output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function isThere(program: string, ...args: string[]): Promise<boolean> {
  try {
    return (await run(program, ...args)).code === 0;
  } catch {
    return false;
  }
}

Deno.test({
  name: "unitText() passes systemd-analyze verify",
  ignore: !await isThere("systemd-analyze", "--version"),
  async fn() {
    const directory = await Deno.makeTempDir();
    try {
      const verify = async (text: string) => {
        const path = `${directory}/${unitName("desk")}`;
        await Deno.writeTextFile(path, text);
        return await run("systemd-analyze", "verify", "--man=no", path);
      };
      const text = unitText({
        name: "desk",
        state: {},
        command: ["/bin/true", "run", "--allow-ffi", "50% of $HOME; a \\ b"],
        reserved: [],
      });
      assertEquals(await verify(text), { code: 0, text: "" });
      // it reports an error, too
      const wrong = await verify(text.replace("Type=", "Typ="));
      assertEquals(wrong.text.includes("Typ"), true);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "udevRules() passes udevadm verify",
  // It exists since systemd 254.
  ignore: !await isThere("udevadm", "verify", "--help"),
  async fn() {
    const path = await Deno.makeTempFile({ suffix: ".rules" });
    try {
      await Deno.writeTextFile(
        path,
        udevRules([{
          address: "0000:01:00.0",
          vendor: 0x10de,
          device: 0x1eb8,
          driver: "vfio-pci",
        }]),
      );
      assertEquals((await run("udevadm", "verify", path)).code, 0);
    } finally {
      await Deno.remove(path);
    }
  },
});
