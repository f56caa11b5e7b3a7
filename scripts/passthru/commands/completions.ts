/**
 * `passthru completions`
 *
 * @module
 */

import type { Host } from "../../../lib/host/host.ts";
import { type Arguments, type Command, EXIT, type Kind } from "../command.ts";
import { COMMANDS, COMMON } from "../commands.ts";
import { type Terminal, writeJson } from "../terminal/terminal.ts";

/** Makes the script of each shell. */
const SHELLS: Readonly<Record<string, () => string>> = { bash, zsh, fish };

/** Writes the script that makes a shell complete commands. */
export function run(
  args: Arguments,
  _host: Host,
  terminal: Terminal,
): number {
  const shell = args.operands[0]!;
  const script = SHELLS[shell]!();
  if (args.has("json")) writeJson(terminal, { shell, script });
  else terminal.write(script);
  return EXIT.DONE;
}

const NAMES = [...Object.keys(COMMANDS), "help"];

function optionsOf(command: Command) {
  return Object.entries({ ...command.options, ...COMMON });
}

function optionWords(command: Command): string {
  return optionsOf(command).map(([name]) => `--${name}`).join(" ");
}

// The shell itself lists addresses and drivers: starting the command at each
// key press would be too slow.
const ADDRESSES = "ls /sys/bus/pci/devices 2>/dev/null";
const DRIVERS = "ls /sys/bus/pci/drivers 2>/dev/null";

/** The bash command that completes a kind. */
function bashWords(kind: Kind | undefined): string {
  if (kind === "address") return "_passthru_addresses";
  if (kind === "driver") {
    return `COMPREPLY=($(compgen -W "$(${DRIVERS})" -- "$cur"))`;
  }
  // Readline itself completes files: it knows of folders and of quotes.
  if (kind === "file") return "compopt -o default";
  if (kind === "text" || kind === undefined) return ":";
  return `COMPREPLY=($(compgen -W "${kind.join(" ")}" -- "$cur"))`;
}

function bash(): string {
  const commands = Object.entries(COMMANDS).map(([name, command]) => {
    const values = optionsOf(command)
      .filter(([, { value }]) => value !== undefined)
      .map(([option, { kind }]) =>
        `        --${option}) ${bashWords(kind)}; return ;;\n`
      ).join("");
    const operands = command.operands ?? [];
    const cases = operands.map(({ kind, many }, i) =>
      `        ${many ? "*" : i}) ${bashWords(kind)} ;;\n`
    ).join("");
    return `    ${name})
      case "$prev" in
${values}      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "${optionWords(command)}" -- "$cur"))
        return
      fi
${cases === "" ? "" : `      case "$operands" in\n${cases}      esac\n`}      ;;
`;
  }).join("");
  return `# Completes passthru in bash: eval "$(passthru completions bash)"
_passthru_addresses() {
  local all
  all=$(${ADDRESSES})
  # Domain 0 may be left out.
  [[ $cur =~ ^[0-9a-fA-F]{1,2}(:|$) ]] && all="$all
$(sed -n 's/^0000://p' <<< "$all")"
  COMPREPLY=($(compgen -W "$all" -- "$cur"))
  # A colon ends a word in bash: only the part after it is replaced.
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
    COMPREPLY=("\${COMPREPLY[@]#"\${cur%"\${cur##*:}"}"}")
  fi
}
_passthru() {
  local rest=\${COMP_LINE:0:COMP_POINT} cur="" prev="" command="" word gap
  local operands=0 i
  local -a words
  COMPREPLY=()
  # Bash ends words at colons and equals signs too: these are joined again.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    gap=\${rest%%[![:space:]]*}
    rest=\${rest#"$gap"}
    word=\${COMP_WORDS[i]}
    ((i < COMP_CWORD)) || word=$rest
    rest=\${rest#"$word"}
    if [[ $i == 0 || -n $gap ]]; then words+=("$word")
    else words[-1]+=$word; fi
  done
  cur=\${words[-1]}
  for ((i = 1; i < \${#words[@]} - 1; i++)); do
    word=\${words[i]}
    prev=$word
    case "$word" in
      ${
    [
      ...new Set(
        Object.values(COMMANDS).flatMap((command) =>
          optionsOf(command).filter(([, { value }]) => value !== undefined)
            .map(([name]) => `--${name}`)
        ),
      ),
    ].join(" | ")
  })
        # The next word is its value.
        ((i + 1 < \${#words[@]} - 1)) && { ((i++)); prev=\${words[i]}; }
        ;;
      --) compopt -o default; return ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then command=$word; else ((operands++)); fi
        ;;
    esac
  done
  if [[ $cur == --*=* ]]; then
    prev=\${cur%%=*}
    cur=\${cur#*=}
  fi
  case "$command" in
    "")
      if [[ $prev == --simulate ]]; then ${bashWords("file")}; return; fi
      COMPREPLY=($(compgen -W "${NAMES.join(" ")} ${
    Object.keys(COMMON).map((name) => `--${name}`).join(" ")
  }" -- "$cur"))
      ;;
    help) COMPREPLY=($(compgen -W "${
    Object.keys(COMMANDS).join(" ")
  }" -- "$cur")) ;;
${commands}  esac
}
complete -F _passthru passthru
`;
}

/** Puts a text in single quotes for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Escapes a text for a description of `_arguments`. */
function described(text: string): string {
  return text.replace(/[[\]:\\]/g, "\\$&");
}

function zshAction(kind: Kind | undefined): string {
  if (kind === "address") return "_passthru_addresses";
  if (kind === "driver") return `{compadd -- $(${DRIVERS})}`;
  if (kind === "file") return "_files";
  if (kind === "text" || kind === undefined) return " ";
  return `(${kind.join(" ")})`;
}

function zsh(): string {
  const commands = Object.entries(COMMANDS).map(([name, command]) => {
    const options = optionsOf(command).map(([option, spec]) => {
      const { value, kind, about, many } = spec;
      const head = `${many ? "*" : ""}--${option}[${described(about)}]`;
      return quoted(
        value === undefined ? head : `${head}:${value}:${zshAction(kind)}`,
      );
    });
    const operands = (command.operands ?? []).map((
      { name, kind, many, optional },
    ) =>
      quoted(
        `${many ? "*" : ""}:${optional && !many ? ":" : ""}${name}:${
          zshAction(kind)
        }`,
      )
    );
    return `        ${name})
          _arguments ${[...options, ...operands].join(" \\\n            ")} ;;
`;
  }).join("");
  const names = Object.entries(COMMANDS).map(([name, { about }]) =>
    `    ${quoted(`${name}:${about.replaceAll(":", "\\:")}`)}\n`
  ).join("");
  return `#compdef passthru
# Completes passthru in zsh: eval "$(passthru completions zsh)"
_passthru_addresses() {
  local -a all
  all=(\${(f)"$(${ADDRESSES})"})
  # Domain 0 may be left out.
  [[ $PREFIX == [0-9a-fA-F](|[0-9a-fA-F])(|:*) ]] && all+=(\${\${(M)all:#0000:*}#0000:})
  compadd -- $all
}
_passthru() {
  local curcontext=$curcontext state line
  local -a commands
  commands=(
${names}  )
  _arguments -C \\
    '--simulate[${described(COMMON.simulate!.about)}]:FILE:_files' \\
    '--keep[${described(COMMON.keep!.about)}]' \\
    '--json[${described(COMMON.json!.about)}]' \\
    '--help[${described(COMMON.help!.about)}]' \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $words[1] in
${commands}      esac
      ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _passthru "$@"
else
  compdef _passthru passthru
fi
`;
}

function fishWords(kind: Kind | undefined): string {
  if (kind === "address") return ` -xa "(${ADDRESSES})"`;
  if (kind === "driver") return ` -xa "(${DRIVERS})"`;
  if (kind === "file") return " -rF";
  if (kind === "text" || kind === undefined) return " -x";
  return ` -xa ${quoted(kind.join(" "))}`;
}

function fish(): string {
  const lines = [
    "# Completes passthru in fish: passthru completions fish | source",
    "complete -c passthru -f",
  ];
  for (const [name, { about }] of Object.entries(COMMANDS)) {
    lines.push(
      `complete -c passthru -n __fish_use_subcommand -a ${name} -d ${
        quoted(about)
      }`,
    );
  }
  for (const [name, command] of Object.entries(COMMANDS)) {
    const when = `-n "__fish_seen_subcommand_from ${name}"`;
    for (const { kind } of command.operands ?? []) {
      if (kind === "text") continue;
      lines.push(
        kind === "file"
          ? `complete -c passthru ${when} -F`
          : `complete -c passthru ${when}${fishWords(kind)}`,
      );
    }
    for (const [option, { value, kind, about }] of optionsOf(command)) {
      lines.push(
        `complete -c passthru ${when} -l ${option} -d ${quoted(about)}` +
          (value === undefined ? "" : fishWords(kind)),
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
