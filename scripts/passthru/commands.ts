/**
 * How each command is called. `load.ts` has their implementations.
 *
 * @module
 */

import type { Command, Operand, Option } from "./command.ts";
import { ADDRESS, HAND_OVER, INSIST, WHOLE_GROUP } from "./hand_over.ts";

const DRY_RUN: Option = { about: "say what would be done, and do nothing" };
const TIMEOUT: Option = {
  value: "SECONDS",
  kind: "text",
  about: "how long each step may take; 10 unless given",
};
const FILE: Operand = { name: "FILE", kind: "file" };

/** The options that every command has. */
export const COMMON: Readonly<Record<string, Option>> = {
  json: { about: "write JSON" },
  progress: { about: "write each step to standard error as a line of JSON" },
  simulate: {
    value: "FILE",
    kind: "file",
    about: "act on a simulated host: a snapshot, or posted lspci -nnk",
  },
  keep: { about: "with --simulate: keep in that file what is changed" },
  help: { about: "show this" },
};

/** Each command by its name. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  list: {
    about: "list the PCI functions, their drivers and IOMMU groups",
    options: {
      driver: {
        value: "NAME",
        kind: "driver",
        about: 'only those bound to this driver; "none" for those without',
      },
      class: {
        value: "CLASS",
        kind: "text",
        about: 'only those of a class: "0108", "02", or a part of its name',
      },
    },
    examples: {
      "passthru list": "everything",
      "passthru list --driver vfio-pci": "what can be handed out now",
      "passthru list --class ethernet --json": "network cards, for a program",
    },
  },
  show: {
    about: "show all that is known of a function",
    operands: [ADDRESS],
    examples: {
      "passthru show 01:00.0": "ids, driver, group, BARs, resets, who uses it",
      "passthru show 0000:01:00.0 --json": "the same, for a program",
    },
  },
  groups: {
    about: "show the IOMMU groups, and what keeps each from being used",
    operands: [{ name: "GROUP", kind: "text", optional: true, many: true }],
    options: {
      tree: { about: "draw the topology: bridges, and what is behind them" },
      svg: { about: "draw it as an SVG image" },
    },
    examples: {
      "passthru groups": "every group with its members",
      "passthru groups 12 13": "two of them",
      "passthru groups --tree": "the bridges, and the groups behind them",
      "passthru groups --svg > groups.svg": "the same as an image",
    },
  },
  doctor: {
    about: "find what stops passthrough here, and what to change",
    details: "The exit code is 4 when the host, or a named function, is not " +
      "fit.",
    operands: [{ ...ADDRESS, optional: true, many: true }],
    options: {
      memory: {
        value: "SIZE",
        kind: "text",
        about: "how much memory a virtual machine gets: 16G",
      },
    },
    examples: {
      "passthru doctor": "the host",
      "passthru doctor 01:00.0 --memory 16G":
        "a function, for a machine of 16 GiB",
      "passthru doctor --json": "for a program",
    },
  },
  bind: {
    about: "bind a function to a VFIO driver, or to another driver",
    details: "A journal keeps the previous driver, and passthru unbind " +
      'restores it. The driver "none" leaves the function without a driver.',
    operands: [ADDRESS, { name: "DRIVER", kind: "driver", optional: true }],
    options: {
      "whole-group": WHOLE_GROUP,
      "dry-run": DRY_RUN,
      insist: INSIST,
      timeout: TIMEOUT,
    },
    examples: {
      "passthru bind 01:00.0": "to vfio-pci",
      "passthru bind 01:00.0 --whole-group":
        "and the other endpoints of its group",
      "passthru bind 01:00.0 mlx5_vfio_pci": "to a variant driver",
      "passthru bind 01:00.0 --insist 01:00.0":
        "although the host uses it: a mounted disk, the display",
    },
  },
  unbind: {
    about: "give functions back to the drivers that they had",
    operands: [{ ...ADDRESS, many: true }],
    options: { timeout: TIMEOUT },
    examples: { "passthru unbind 01:00.0": "undoes passthru bind 01:00.0" },
  },
  vfs: {
    about: "create a function's virtual functions, or remove them",
    operands: [ADDRESS, { name: "COUNT", kind: "text" }],
    options: {
      driver: {
        value: "NAME",
        kind: "driver",
        about: 'their driver; "none" for no driver',
      },
      "dry-run": DRY_RUN,
      insist: INSIST,
      timeout: TIMEOUT,
    },
    examples: {
      "passthru vfs 01:00.0 4": "for the drivers of this host",
      "passthru vfs 01:00.0 4 --driver vfio-pci": "for virtual machines",
      "passthru vfs 01:00.0 0": "removes all",
      "passthru restore 01:00.0": "back to the number before",
    },
  },
  mdev: {
    about: "list, create and remove mediated devices",
    operands: [
      { name: "ACTION", kind: ["list", "create", "remove"], optional: true },
      { name: "PARENT|UUID", kind: "address", optional: true },
      { name: "TYPE", kind: "text", optional: true },
      { name: "UUID", kind: "text", optional: true },
    ],
    options: { "dry-run": DRY_RUN, timeout: TIMEOUT },
    examples: {
      "passthru mdev": "the available types, and the devices",
      "passthru mdev create 00:02.0 i915-GVTg_V5_4": "with a new UUID",
      "passthru mdev remove 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001":
        "removes what mdev create has created",
    },
  },
  plan: {
    about: "say which steps a state file needs, and why",
    details: "The file is JSON or YAML; - is standard input.",
    operands: [FILE],
    options: { insist: INSIST },
    examples: {
      "passthru plan state.yaml": "in words",
      "passthru plan state.json --json": "for a program",
    },
  },
  apply: {
    about: "apply a state file, all of it or nothing",
    details: "Each step is written to a journal before it is made; when one " +
      "fails, all are undone. What the state already holds is not touched.",
    operands: [FILE],
    options: {
      "dry-run": DRY_RUN,
      insist: INSIST,
      name: {
        value: "NAME",
        kind: "text",
        about: "the name that passthru status shows",
      },
      "at-boot": {
        value: "NAME",
        kind: "text",
        about: "apply it at every boot too, by a systemd unit",
      },
      watch: {
        about: "keep the host at it until it is ended, and say what drifts",
      },
      timeout: TIMEOUT,
    },
    examples: {
      "passthru apply state.yaml": "apply it",
      "passthru apply state.yaml --dry-run": "the same as passthru plan",
      "passthru apply state.yaml --at-boot desk": "now and at every boot",
      "passthru apply state.yaml --watch --json":
        "and again whenever it drifts; a line of JSON for each event",
      "passthru apply state.yaml --at-boot desk --watch":
        "the same from boot on, as a service of systemd",
      "generate-state | passthru apply -":
        "a state that another program writes",
    },
  },
  restore: {
    about: "undo what was applied to this host",
    details: "It works also after a process was killed, and gives back what " +
      "a script has taken once that has ended. The exit code is 1 when " +
      "something could not be undone. A journal that cannot be read is " +
      "kept and named; what it records stays as it is.",
    operands: [{
      name: "DEVICE",
      kind: "address",
      optional: true,
      many: true,
    }],
    options: {
      name: {
        value: "NAME",
        kind: "text",
        about: "only what was applied under this name",
      },
      "at-boot": {
        value: "NAME",
        kind: "text",
        about: "the same, and no longer apply it at boot",
      },
      "keep-boot": {
        about: "leave the kernel's command line and options of modules",
      },
      forget: {
        value: "ID",
        kind: "text",
        about: "drop a damaged journal; undo nothing",
      },
      timeout: TIMEOUT,
    },
    examples: {
      "passthru restore": "everything that is applied now",
      "passthru restore 01:00.0": "a function and its virtual functions",
      "passthru restore --at-boot desk": "undoes passthru apply --at-boot",
      "passthru restore --forget apply-3": "drops the journal of that name",
    },
  },
  status: {
    about: "say what is applied, and whether it still holds",
    examples: {
      "passthru status":
        "each apply that was not undone, and what scripts took",
    },
  },
  log: {
    about: "say what was changed on this host, when and by whom",
    details: "It is kept when the changes are undone, in " +
      "/var/log/passthru.jsonl.",
    examples: {
      "passthru log": "each apply and restore, the oldest first",
      "passthru log --json": "for a program",
    },
  },
  snapshot: {
    about: "record this host as JSON, to simulate it elsewhere",
    details: "It has no serial number, MAC address or host name. Recorded as " +
      "root, it also has the number of interrupts of each function.",
    examples: {
      "passthru snapshot > host.json": "record it",
      "passthru --simulate host.json list": "look at it anywhere",
      "passthru --simulate host.json bind 01:00.0":
        "try what a command would do",
      "passthru --simulate host.json --keep bind 01:00.0":
        "and keep it in the file, for the next command",
    },
  },
  attach: {
    about: "hold functions attached and print their layout, until Ctrl-C",
    details:
      "A function without a VFIO driver is bound to vfio-pci first, and " +
      "gets its driver back afterwards.",
    operands: [{ ...ADDRESS, many: true }],
    options: {
      backend: {
        value: "NAME",
        kind: ["auto", "iommufd", "legacy"],
        about: "the kernel interface to use; auto unless given",
      },
      "no-hold": { about: "detach at once" },
      "whole-group": WHOLE_GROUP,
      insist: INSIST,
    },
    examples: {
      "passthru attach 01:00.0": "regions, BARs, interrupts, DMA ranges",
      "passthru attach 01:00.0 01:00.1 --backend legacy":
        "two in one address space, by a legacy container",
      "passthru attach 01:00.0 --no-hold --json": "only the layout",
    },
  },
  events: {
    about: "print a function's interrupts as they come, until Ctrl-C",
    details:
      "Its errors too, and the kernel's request for it, with which the " +
      "command ends. With --json each line is a value. Nobody serves the " +
      "function: a line is unmasked a second after it has fired.",
    operands: [ADDRESS],
    options: {
      irq: {
        value: "NAME",
        kind: ["intx", "msi", "msix"],
        about: "the interrupts; MSI-X unless given, or what there is",
      },
      "whole-group": WHOLE_GROUP,
      insist: INSIST,
    },
    examples: {
      "passthru events 01:00.0": "all vectors, errors and requests",
      "passthru events 01:00.0 --irq intx": "the interrupt line",
    },
  },
  reset: {
    about: "reset a function, or all that is on its bus",
    details: "It uses the kernel's first method, unless one is named. With " +
      "--hot it takes and attaches all functions on the bus, which VFIO resets " +
      "as one, and gives them back.",
    operands: [ADDRESS],
    options: {
      method: {
        value: "NAME",
        kind: ["device_specific", "acpi", "flr", "af_flr", "pm", "bus"],
        about: "the method",
      },
      hot: { about: "reset its bus, with all that is on it" },
      insist: INSIST,
    },
    examples: {
      "passthru reset 01:00.0": "as the kernel prefers",
      "passthru reset 01:00.0 --method bus":
        "resets its bus, where it is alone on it",
      "passthru reset 01:00.0 --hot": "resets its bus with all that is on it",
    },
  },
  migrate: {
    about: "save a device's state to a file, or load it into another device",
    details: "The device's driver must be able to: one made for it, not " +
      "vfio-pci. The file - is standard output or input. A saved device is " +
      "stopped, and after Ctrl-C or an error it runs. Most drivers reset a " +
      "device as the command ends: then only the file remains.",
    operands: [
      { name: "ACTION", kind: ["save", "load"] },
      { name: "ADDRESS|UUID", kind: "address" },
      FILE,
    ],
    options: {
      precopy: { about: "save: stop the device for the end of its state only" },
    },
    examples: {
      "passthru migrate save 01:00.2 device.state": "stops it, and saves it",
      "passthru migrate load 01:00.3 device.state":
        "into another virtual function of the same kind",
      "passthru migrate save 01:00.2 - | ssh HOST passthru migrate load 01:00.2 -":
        "to another host",
    },
  },
  dump: {
    about: "decode a function's config space, capability by capability",
    details: "Root sees all of it, others the first 64 bytes. A file has the " +
      "text that somebody posted of lspci -x, -xxx or -xxxx; addresses after " +
      "it select functions of that text.",
    operands: [
      { name: "ADDRESS|FILE", kind: "address" },
      { ...ADDRESS, optional: true, many: true },
    ],
    options: { hex: { about: "the bytes, as lspci -xxxx writes them" } },
    examples: {
      "passthru dump 01:00.0": "the header and each capability",
      "passthru dump 01:00.0 --hex > dump.txt": "for lspci -F dump.txt",
      "passthru dump 01:00.0 --json": "every field, for a program",
      "passthru dump lspci.txt 02:00.0": "from a text of lspci -xxxx",
    },
  },
  ...HAND_OVER,
  completions: {
    about: "write a script that completes commands and addresses in a shell",
    operands: [{ name: "SHELL", kind: ["bash", "zsh", "fish"] }],
    examples: {
      'eval "$(passthru completions bash)"': "in ~/.bashrc",
      'eval "$(passthru completions zsh)"': "in ~/.zshrc, after compinit",
      "passthru completions fish | source": "in ~/.config/fish/config.fish",
    },
  },
};
