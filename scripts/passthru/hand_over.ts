/**
 * How the commands are called that hand devices over, or tell others of them.
 *
 * @module
 */

import type { Command, Operand, Option } from "./command.ts";

/** A function's address. */
export const ADDRESS: Operand = { name: "ADDRESS", kind: "address" };

/** To take what the host uses. */
export const INSIST: Option = {
  value: "ADDRESS",
  kind: "address",
  many: true,
  about: "take this function although the host uses it",
};

/** To take all endpoints of a group. */
export const WHOLE_GROUP: Option = {
  about: "take the other endpoints of its IOMMU group too",
};

/** Each command by its name. */
export const HAND_OVER: Readonly<Record<string, Command>> = {
  qemu: {
    about: "run QEMU with functions, and give them back when it ends",
    details: "It needs Deno's permission to run programs, --allow-run. Its " +
      "exit code is QEMU's.",
    operands: [{ ...ADDRESS, many: true }],
    rest: "QEMU-ARGUMENT",
    options: {
      by: {
        value: "WAY",
        kind: ["auto", "iommufd", "legacy", "fds"],
        about: "how QEMU gets the devices; auto unless given",
      },
      user: {
        value: "USER",
        kind: "text",
        about: "run QEMU as this user, who needs no access to any node",
      },
      program: {
        value: "PATH",
        kind: "file",
        about: "the program; qemu-system-x86_64 unless given",
      },
      "memory-lock": {
        value: "MIB",
        kind: "text",
        about: "how much memory that user may lock; by default -m and a GiB",
      },
      "whole-group": WHOLE_GROUP,
      insist: INSIST,
    },
    examples: {
      "passthru qemu 01:00.0 -- -machine q35 -m 4G -nographic":
        "by iommufd, or else by a container",
      "passthru qemu 01:00.0 --user nobody -- -machine q35 -m 4G":
        "by passed descriptors, as an ordinary user",
    },
  },
  emit: {
    about: "write functions for those who take them: libvirt, containers, ...",
    details: "What the format, or a named version of its reader, cannot " +
      "express is refused. With --to the file is in the journal, and passthru " +
      "restore removes it.",
    operands: [
      {
        name: "FORMAT",
        kind: [
          "ansible",
          "cdi",
          "cloud-hypervisor",
          "cloud-hypervisor-api",
          "dra",
          "env",
          "kubevirt",
          "kubevirt-machine",
          "libvirt",
          "libvirt-nodedev",
          "qemu",
          "sriov-device-plugin",
          "systemd",
        ],
      },
      { ...ADDRESS, many: true },
    ],
    options: {
      iommufd: { about: "by the devices' own nodes, not by their groups" },
      managed: { about: "libvirt: let it bind the functions itself" },
      name: {
        value: "NAME",
        kind: "text",
        about: "its kind, resource or unit, not passthru.local/vfio",
      },
      node: {
        value: "NAME",
        kind: "text",
        about: "the name of this host, where the format has it",
      },
      consumer: {
        value: "VERSION",
        kind: "text",
        about: "the version of the program that reads it",
      },
      to: {
        value: "FILE",
        kind: "file",
        about: "write this file, until passthru restore",
      },
    },
    examples: {
      "passthru emit libvirt 01:00.0": "a hostdev element for a domain",
      "passthru emit qemu 01:00.0 --consumer 8.2 --iommufd":
        "refused: 8.2 has no iommufd",
      "passthru emit cdi 01:00.0 --to /etc/cdi/gpu.json":
        "for podman run --device passthru.local/vfio=0000:01:00.0",
      "passthru emit kubevirt 01:00.0 --name nvidia.com/T4":
        "what the cluster permits",
    },
  },
  import: {
    about: "write a state that does what another tool does here",
    details: "It reads driverctl's overrides, libvirt's domains, Proxmox's " +
      "machines, or the ids of vfio-pci in modprobe's files and on the " +
      "kernel's command line. What it cannot carry over is on standard error.",
    operands: [
      {
        name: "TOOL",
        kind: ["driverctl", "libvirt", "modprobe", "proxmox"],
      },
    ],
    examples: {
      "passthru import driverctl > state.json": "a state, with pins",
      "passthru import modprobe --json": "with what is left, for a program",
    },
  },
  report: {
    about: "write a page about this host, to attach to a question",
    details: "It is one file: the topology, the doctor's findings and all " +
      "functions, and a snapshot that --simulate reads. It has no serial " +
      "number, MAC address or host name.",
    examples: {
      "passthru report > host.html": "write it",
      "passthru --simulate host.html doctor": "look at such a host",
    },
  },
};
