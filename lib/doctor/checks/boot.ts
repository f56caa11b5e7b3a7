/**
 * What was to happen at boot, and did not.
 *
 * @module
 */

import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { takingOf } from "../../host/pci/group_remedy.ts";
import { idPair } from "../../hex.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

const MODPROBE = "/etc/modprobe.d";

/** Ids that vfio-pci was given, and where. */
interface Given {
  readonly ids: readonly string[];
  readonly where: string;
}

/**
 * Whether functions that vfio-pci was to have at boot, by its parameter `ids`,
 * have another driver, which was loaded before it; and whether that parameter is
 * spelt as the kernel knows it.
 */
export function* boot(examined: Examined): Generator<Finding> {
  const words = (examined.read("/proc/cmdline") ?? "").split(/\s+/);
  for (const word of words) {
    const [, value] = /^vfio[-_]?pci[-_]ids=(.*)$/.exec(word) ?? [];
    if (value === undefined) continue;
    yield {
      check: "boot",
      verdict: "warn",
      text: `the kernel does not know the parameter ${word}`,
      remedy: `remove ${word} from the kernel's command line, and boot with ` +
        `vfio-pci.ids=${value}`,
    };
  }
  const given = [...onCommandLine(words), ...inFiles(examined)];
  if (given.length === 0) return;
  const passText = "vfio-pci has what it was to have at boot";
  yield* examined.checkEach("boot", passText, (fn) => {
    const { vendor, device, driver } = fn;
    if (driver === undefined || isVfioDriver(driver)) return;
    const found = given.find(({ ids }) => ids.includes(idPair(vendor, device)));
    if (found === undefined) return;
    const { commands } = takingOf([fn]);
    return {
      text: `vfio-pci was to have it at boot (${found.where}), and ${driver} ` +
        "was there before vfio-pci",
      remedy: (commands.length === 0 ? "" : `${commands.join("; ")}; `) +
        `at every boot: softdep ${driver} pre: vfio-pci in ${MODPROBE}, then ` +
        "make the initramfs again; or passthru import modprobe, whose state " +
        "is applied at boot",
    };
  });
}

function onCommandLine(words: readonly string[]): Given[] {
  return words.flatMap((word) => {
    const [, ids] = /^vfio[-_]pci\.ids=(.*)$/.exec(word) ?? [];
    return ids === undefined
      ? []
      : [{ ids: parse(ids), where: "the kernel's command line" }];
  });
}

function inFiles(examined: Examined): Given[] {
  return examined.names(MODPROBE).filter((name) => name.endsWith(".conf"))
    .flatMap((name) => {
      const where = `${MODPROBE}/${name}`;
      const text = examined.read(where) ?? "";
      const [, ids] = /^\s*options\s+vfio[-_]pci\s.*\bids="?([\w:,]+)/m
        .exec(text) ?? [];
      return ids === undefined ? [] : [{ ids: parse(ids), where }];
    });
}

/** Each is `vendor:device`, and can have more parts. */
function parse(ids: string): string[] {
  return ids.toLowerCase().split(",")
    .map((id) => id.split(":").slice(0, 2).join(":"));
}
