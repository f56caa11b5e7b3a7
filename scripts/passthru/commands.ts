/**
 * The commands: how each is called. Their code is loaded when they run.
 *
 * @module
 */

import type { Command, Operand, Option } from "./command.ts";

const ADDRESS: Operand = { name: "ADDRESS", kind: "address" };

const INSIST: Option = {
  value: "ADDRESS",
  kind: "address",
  many: true,
  about: "take this function although the host uses it",
};

/** The options that every command has. */
export const COMMON: Readonly<Record<string, Option>> = {
  json: { about: "write JSON" },
  simulate: {
    value: "FILE",
    kind: "file",
    about: "act on the host that a snapshot holds, in memory",
  },
  help: { about: "show this" },
};

/** Each command by its name. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  list: {
    about: "list the PCI functions, their drivers and IOMMU groups",
    looks: true,
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
    load: () => import("./list.ts"),
  },
  show: {
    about: "show all that is known of a function",
    operands: [ADDRESS],
    looks: true,
    examples: {
      "passthru show 01:00.0": "ids, driver, group, BARs, resets, who uses it",
      "passthru show 0000:01:00.0 --json": "the same, for a program",
    },
    load: () => import("./show.ts"),
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
    load: () => import("./groups.ts"),
  },
  snapshot: {
    about: "record this host as JSON, to try things on elsewhere",
    details:
      "No serial number, MAC address or host name is in it. As root it " +
      "tells\nalso how many interrupts each function has.",
    examples: {
      "passthru snapshot > host.json": "record it",
      "passthru --simulate host.json list": "look at it anywhere",
      "passthru --simulate host.json bind 01:00.0":
        "try what a command would do",
    },
    load: () => import("./snapshot.ts"),
  },
  attach: {
    about: "hold functions attached and print their layout, until Ctrl-C",
    details: "Each is bound to a VFIO driver first where it is not, and goes " +
      "back afterwards.",
    operands: [{ ...ADDRESS, many: true }],
    options: {
      backend: {
        value: "NAME",
        kind: ["auto", "iommufd", "legacy"],
        about: "how the kernel is asked; auto unless given",
      },
      "no-hold": { about: "detach at once" },
      insist: INSIST,
    },
    examples: {
      "passthru attach 01:00.0": "regions, BARs, interrupts, DMA ranges",
      "passthru attach 01:00.0 01:00.1 --backend legacy":
        "two in one address space, by a container",
      "passthru attach 01:00.0 --no-hold --json": "only the layout",
    },
    load: () => import("./attach.ts"),
  },
  reset: {
    about: "reset a function",
    details: "By the first method that the kernel has for it, unless one is " +
      "named.",
    operands: [ADDRESS],
    options: {
      method: {
        value: "NAME",
        kind: ["device_specific", "acpi", "flr", "af_flr", "pm", "bus"],
        about: "by this method",
      },
      insist: INSIST,
    },
    examples: {
      "passthru reset 01:00.0": "as the kernel prefers",
      "passthru reset 01:00.0 --method bus":
        "its bus, where it is alone on that",
    },
    load: () => import("./reset.ts"),
  },
  dump: {
    about: "decode a function's config space, capability by capability",
    details: "Root sees all of it, others the first 64 bytes.",
    operands: [ADDRESS],
    options: { hex: { about: "the bytes, as lspci -xxxx writes them" } },
    looks: true,
    examples: {
      "passthru dump 01:00.0": "the header and each capability",
      "passthru dump 01:00.0 --hex > dump.txt": "for lspci -F dump.txt",
      "passthru dump 01:00.0 --json": "every field, for a program",
    },
    load: () => import("./dump.ts"),
  },
  completions: {
    about: "write what makes a shell complete commands and addresses",
    operands: [{ name: "SHELL", kind: ["bash", "zsh", "fish"] }],
    looks: true,
    examples: {
      'eval "$(passthru completions bash)"': "in ~/.bashrc",
      'eval "$(passthru completions zsh)"': "in ~/.zshrc, after compinit",
      "passthru completions fish | source": "in ~/.config/fish/config.fish",
    },
    load: () => import("./completions.ts"),
  },
};
