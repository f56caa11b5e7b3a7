/**
 * Which boot loader the host has, and where it has the kernel's command line.
 *
 * @module
 */

import { VfioError } from "../../errors.ts";
import { exists, ifPresent } from "../../host/sysfs.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { programPath } from "../steps/programs.ts";
import type { ConfigurationFile, ConfigurationStep } from "../steps/step.ts";
import {
  COMMAND_LINE,
  commandLineFiles,
  entryFiles,
  entryPaths,
} from "./entries.ts";
import { GRUB, grubCommand, grubFiles, usesEntries } from "./grub.ts";
import { wordsOf } from "./words.ts";

/** Proxmox's list of the partitions that it copies kernels to. */
const PROXMOX = "/etc/kernel/proxmox-boot-uuids";

/** What the boot loader says of itself, where the firmware is UEFI. */
const LOADER_INFO = "/sys/firmware/efi/efivars/" +
  "LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/** How a boot loader is told the words. */
interface Change {
  /** Its name. */
  readonly loader: string;
  readonly files: readonly ConfigurationFile[];
  readonly commands: readonly (readonly string[])[];
}

/**
 * Plans the change of the kernel's command line.
 *
 * @param kernel The system.
 * @param words The words that it should have.
 * @throws {VfioError} `NOT_SUPPORTED` when the boot loader is not known, or has
 * a setting that cannot be changed safely.
 */
export function commandLineSteps(
  kernel: Kernel,
  words: readonly string[],
): ConfigurationStep[] {
  if (words.length === 0) return [];
  const { loader, files, commands } = changeFor(kernel, words);
  const [first, ...others] = files;
  if (first === undefined) return [];
  const now = new Set(
    wordsOf(ifPresent(() => kernel.readFile("/proc/cmdline")) ?? ""),
  );
  const missing = words.filter((word) => !now.has(word));
  const beside = others.length === 0
    ? ""
    : `, also in ${others.map(({ path }) => path).join(", ")}`;
  return [{
    kind: "configuration",
    path: first.path,
    files,
    commands,
    settings: words,
    atBoot: { commandLine: words },
    why: `${loader} starts the kernel` +
      (missing.length === 0 ? " without it next time" : " without it") +
      beside,
  }];
}

function changeFor(kernel: Kernel, words: readonly string[]): Change {
  const proxmox = programPath(kernel, "proxmox-boot-tool");
  if (proxmox !== undefined && exists(kernel, PROXMOX)) {
    // It starts by GRUB or by systemd-boot, and refreshes both.
    return {
      loader: "proxmox-boot-tool",
      files: [
        ...commandLineFiles(kernel, words),
        ...exists(kernel, GRUB) ? grubFiles(kernel, words) : [],
      ],
      commands: [[proxmox, "refresh"]],
    };
  }
  const grub = exists(kernel, GRUB) ? grubCommand(kernel) : undefined;
  if (grub !== undefined && !isSystemdBoot(kernel)) {
    const entries = usesEntries(kernel)
      ? [...entryFiles(kernel, words), ...commandLineFiles(kernel, words)]
      : [];
    return {
      loader: "GRUB",
      files: [...grubFiles(kernel, words), ...entries],
      commands: [grub],
    };
  }
  if (entryPaths(kernel).length > 0) {
    return {
      loader: "systemd-boot",
      files: [...entryFiles(kernel, words), ...commandLineFiles(kernel, words)],
      commands: [],
    };
  }
  const install = programPath(kernel, "kernel-install");
  if (install !== undefined && exists(kernel, COMMAND_LINE)) {
    // The command line is a part of one image with the kernel.
    const release = kernel.readFile("/proc/sys/kernel/osrelease").trim();
    return {
      loader: "systemd-boot",
      files: commandLineFiles(kernel, words),
      commands: [
        [install, "add", release, `/lib/modules/${release}/vmlinuz`],
      ],
    };
  }
  throw new VfioError("NOT_SUPPORTED", {
    problem: "this host has no boot loader that is known: GRUB, " +
      "systemd-boot or proxmox-boot-tool",
    hint: "add this to the kernel's command line by hand, and leave it out " +
      `here: ${words.join(" ")}`,
  });
}

function isSystemdBoot(kernel: Kernel): boolean {
  const bytes = ifPresent(() => kernel.readFileBytes(LOADER_INFO));
  if (bytes === undefined) return false;
  // Four bytes of attributes, and a text in UTF-16.
  return new TextDecoder("utf-16le").decode(bytes.subarray(4))
    .startsWith("systemd-boot");
}
