/**
 * The completions, in the installed shells.
 */
import { assert, assertEquals } from "@std/assert";
import { call } from "../unit/passthru_bench.ts";
import { onPath } from "./programs.ts";

const ADDRESSES = Array.from(Deno.readDirSync("/sys/bus/pci/devices"))
  .map(({ name }) => name).sort();

async function script(shell: string): Promise<string> {
  return (await call({}, ["completions", shell])).out;
}

async function output(command: string, args: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(command, { args }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  assertEquals(text(stderr), "");
  return text(stdout);
}

/**
 * Types lines in a shell on a terminal, where Tab completes. The command
 * prints its arguments.
 *
 * @returns What each line prints.
 */
async function typedInBash(
  folder: string,
  lines: readonly string[],
): Promise<string[]> {
  await Deno.writeTextFile(
    `${folder}/.bashrc`,
    `${await script("bash")}
PS1='$ '
bind 'set bell-style none'
passthru() { printf '<%s>' "$@"; echo; }
`,
  );
  const shell = new Deno.Command("script", {
    args: [
      ...["--quiet", "--command", "bash --noprofile --rcfile .bashrc"],
      "/dev/null",
    ],
    cwd: folder,
    env: { TERM: "dumb" },
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = shell.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const input = shell.stdin.getWriter();
  /** Reads up to the next prompt. */
  const answer = async () => {
    let text = "";
    while (!text.endsWith("$ ")) {
      const { value, done } = await output.read();
      assert(!done, text);
      text += value;
    }
    return text;
  };
  const type = async (line: string) => {
    await input.write(new TextEncoder().encode(`${line}\n`));
    return await answer();
  };
  await answer();
  const answers: string[] = [];
  for (const line of lines) {
    const text = await type(line);
    answers.push(/^<.*>(?=\r?$)/m.exec(text)?.[0] ?? text);
  }
  await input.write(new TextEncoder().encode("exit\n"));
  await input.close();
  while (!(await output.read()).done);
  await shell.status;
  return answers;
}

Deno.test({
  name:
    "passthru completions bash completes files, folders and names with spaces",
  ignore: !onPath("bash") || !onPath("script"),
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      await Deno.mkdir(`${folder}/deep`);
      await Deno.mkdir(`${folder}/my folder`);
      for (const name of ["deep/in.json", "my state.yaml", "it's.yaml"]) {
        await Deno.writeTextFile(`${folder}/${name}`, "");
      }
      await Deno.writeTextFile(`${folder}/my folder/a.yaml`, "");
      assertEquals(
        await typedInBash(folder, [
          "passthru plan de\tin\t",
          "passthru plan my\\ s\t",
          'passthru plan "my s\t',
          "passthru plan 'my f\ta\t",
          "passthru plan it\t--js\t",
          "passthru --simulate my\\ f\ta\tsta\t",
          "passthru --simulate=de\tin\tsta\t",
          "passthru apply my\\ s\t--dr\t",
          "passthru apply --insist 0:1 my\\ s\t",
          "passthru qemu -- de\t",
          "passthru mdev de\t",
        ]),
        [
          "<plan><deep/in.json>",
          "<plan><my state.yaml>",
          "<plan><my state.yaml>",
          "<plan><my folder/a.yaml>",
          "<plan><it's.yaml><--json>",
          "<--simulate><my folder/a.yaml><status>",
          "<--simulate=deep/in.json><status>",
          "<apply><my state.yaml><--dry-run>",
          "<apply><--insist><0:1><my state.yaml>",
          "<qemu><--><deep/>",
          // A folder is no action.
          "<mdev><de>",
        ],
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** Returns bash's completions of a line. */
async function inBash(line: string): Promise<string[]> {
  const source = `${await script("bash")}
COMP_LINE=${JSON.stringify(line)}
COMP_POINT=\${#COMP_LINE}
read -ra COMP_WORDS <<< "\${COMP_LINE//:/ : }"
[[ $COMP_LINE == *[[:space:]:] ]] && COMP_WORDS+=("")
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_passthru
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const text = await output("bash", ["-c", source]);
  return text.split("\n").filter((word) => word !== "").sort();
}

Deno.test({
  name: "passthru completions bash completes commands, options and values",
  ignore: !onPath("bash"),
  async fn() {
    assertEquals(await inBash("passthru sn"), ["snapshot"]);
    assert((await inBash("passthru ")).includes("list"));
    assertEquals(await inBash("passthru list --dr"), ["--driver"]);
    assertEquals(await inBash("passthru attach --backend l"), ["legacy"]);
    assertEquals(await inBash("passthru completions f"), ["fish"]);
    assertEquals(await inBash("passthru --json sho"), ["show"]);
    assertEquals(await inBash("passthru help res"), ["reset", "restore"]);
  },
});

Deno.test({
  name:
    "passthru completions bash completes addresses with and without a domain",
  ignore: !onPath("bash") || ADDRESSES.length === 0,
  async fn() {
    assertEquals(await inBash("passthru show "), ADDRESSES);
    const [first] = ADDRESSES;
    // In bash, a word begins after each colon.
    assertEquals(
      await inBash(`passthru show ${first!.slice(0, -1)}`),
      ADDRESSES.filter((address) => address.startsWith(first!.slice(0, -1)))
        .map((address) => address.slice(address.lastIndexOf(":") + 1)),
    );
    const short = first!.replace(/^0000:/, "");
    const answers = await inBash(`passthru bind --insist ${short.slice(0, 3)}`);
    assert(answers.includes(short.slice(3)), answers.join(" "));
  },
});

for (const shell of ["bash", "zsh", "fish"]) {
  Deno.test({
    name: `passthru completions ${shell} writes a valid script of ${shell}`,
    ignore: !onPath(shell),
    async fn() {
      const path = await Deno.makeTempFile();
      try {
        await Deno.writeTextFile(path, await script(shell));
        assertEquals(await output(shell, ["-n", path]), "");
      } finally {
        await Deno.remove(path);
      }
    },
  });
}

Deno.test({
  name: "passthru completions fish completes commands, options and addresses",
  ignore: !onPath("fish"),
  async fn() {
    const completed = async (line: string) => {
      const source = `${await script("fish")}\ncomplete -C ${
        JSON.stringify(line)
      }`;
      return (await output("fish", ["--no-config", "-c", source]))
        .trimEnd().split("\n").map((line) => line.split("\t")[0]);
    };
    assertEquals(await completed("passthru sn"), ["snapshot"]);
    assertEquals(await completed("passthru list --dri"), ["--driver"]);
    assertEquals(await completed("passthru show 0"), ADDRESSES);
  },
});
