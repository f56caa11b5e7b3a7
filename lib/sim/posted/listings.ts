/**
 * Reads what people post beside `lspci`: a listing of IOMMU groups, the tree of
 * buses, the kernel's command line and release, `/proc/iomem`.
 *
 * @module
 */

import { fullAddress, withoutQuote } from "./lspci.ts";

const ADDRESS = /\b((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])\b/i;

/**
 * Reads the groups of functions, by address: from
 * `find /sys/kernel/iommu_groups`, from the kernel's log, or from listings with
 * a line for each group or each function.
 *
 * @param text The text.
 */
export function parseGroups(text: string): Map<string, number> {
  const groups = new Map<string, number>();
  let current: number | undefined;
  for (const raw of text.split(/\r?\n/)) {
    const line = withoutQuote(raw);
    const logged = /(\S+): Adding to iommu group (\d+)/.exec(line);
    if (logged !== null) {
      const address = ADDRESS.exec(logged[1]!)?.[1];
      if (address !== undefined) {
        groups.set(fullAddress(address), Number(logged[2]));
      }
      continue;
    }
    const path = /iommu_groups\/(\d+)\/devices\/(\S+)/.exec(line);
    if (path !== null) {
      const address = ADDRESS.exec(path[2]!)?.[1];
      if (address !== undefined) {
        groups.set(fullAddress(address), Number(path[1]));
      }
      continue;
    }
    // lspci itself writes this indented, below a function.
    const head = /^(?:IOMMU[ _])?Group:?\s*#?(\d+)\b:?(.*)$/i.exec(line);
    if (head !== null) current = Number(head[1]);
    else if (line.trim() === "" || /^\S/.test(line) && !ADDRESS.test(line)) {
      current = undefined;
    }
    const address = ADDRESS.exec(head?.[2] ?? line)?.[1];
    const startsLine = head !== null ||
      /^\s*(?:[-*]\s*)?(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:/i.test(line);
    if (current !== undefined && address !== undefined && startsLine) {
      groups.set(fullAddress(address), current);
    }
    // A line for each function: what follows is of no group.
    if (head !== null && address !== undefined) current = undefined;
  }
  return groups;
}

/**
 * Reads the bridges that buses are behind, by bus (`"0000:01"`), from the text
 * of `lspci -t`.
 *
 * @param text The text.
 */
export function parseTree(text: string): Map<string, string> {
  const above = new Map<string, string>();
  let open: { column: number; domain: string; bus: string }[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (!/[-+\\]-(?:\[|[0-9a-f]{2}\.[0-7])/.test(line)) continue;
    const branch = line.search(/[-+\\]-/);
    open = open.filter(({ column }) => column < branch);
    let last: string | undefined;
    for (
      const token of line.matchAll(
        /\[(?:([0-9a-f]{4,8}):)?([0-9a-f]{2})(?:-[0-9a-f]{2})?\]|(?<=[-+\\]-|-)([0-9a-f]{2}\.[0-7])/g,
      )
    ) {
      const [, domain, bus, device] = token;
      const here = open.at(-1);
      if (device !== undefined) {
        if (here !== undefined) last = `${here.domain}:${here.bus}:${device}`;
        continue;
      }
      const inDomain = domain ?? here?.domain ?? "0000";
      if (last !== undefined) above.set(`${inDomain}:${bus}`, last);
      open.push({ column: token.index, domain: inDomain, bus: bus! });
    }
  }
  return above;
}

/** The kernel's command line in a text, if it has one. */
export function parseCommandLine(text: string): string | undefined {
  const match =
    /(?:^|\n).*?((?:BOOT_IMAGE=|initrd=\\|root=(?:UUID|\/dev))[^\n]*)/
      .exec(text)?.[1] ??
      /[Cc]ommand line: ([^\n]*)/.exec(text)?.[1] ??
      /GRUB_CMDLINE_LINUX(?:_DEFAULT)?=["']([^"'\n]*)/.exec(text)?.[1] ??
      /(?:^|\n)((?:quiet |ro |splash )*(?:intel_iommu|amd_iommu|iommu)=[^\n]*)/
        .exec(text)?.[1];
  return match?.trim();
}

/** The kernel's release in a text, if it has one. */
export function parseRelease(text: string): string | undefined {
  return /(?:^|\n)(?:Linux (?:version )?(?:\S+ )??)?(\d\.\d+\.\d+(?:[-+][\w.+-]+)?)(?: #| \(|\s*(?:\r?\n|$))/
    .exec(text)?.[1] ??
    /BOOT_IMAGE=\S*vmlinuz-(\d+\.\d+[\w.+-]*)/.exec(text)?.[1];
}

/** The lines of `/proc/iomem` in a text. */
export function parseMemory(text: string): string | undefined {
  const lines = text.split(/\r?\n/)
    .filter((line) => /^\s*[0-9a-f]{8,16}-[0-9a-f]{8,16} : /.test(line));
  return lines.length === 0 ? undefined : `${lines.join("\n")}\n`;
}

/**
 * The lines of `/proc/interrupts` in a text, or such as tell the same as the
 * kernel's log.
 */
export function parseInterrupts(text: string): string | undefined {
  if (/Enabled IRQ remapping|AMD-Vi: Interrupt remapping enabled/.test(text)) {
    return " 0:  0  IR-IO-APIC  2-edge  timer\n";
  }
  const lines = text.split(/\r?\n/).filter((line) =>
    /^\s*\w+:\s+\d+.*(?:IR-|IO-APIC|PCI-MSI|GICv|ITS-)/.test(line)
  );
  return lines.length === 0 ? undefined : `${lines.join("\n")}\n`;
}
