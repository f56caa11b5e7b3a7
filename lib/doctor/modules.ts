/**
 * Checks of what the kernel was built with, has loaded, and allows.
 *
 * @module
 */

import type { Examined } from "./examined.ts";
import type { Finding } from "./finding.ts";

/** How the kernel has a module. */
type Presence = "built in" | "loaded" | "not loaded" | "missing" | "unknown";

/**
 * Looks a module up in the lists that `depmod` and the kernel's build leave
 * (`modules.dep`, `modules.builtin`).
 */
function presence(on: Examined, name: string): Presence {
  const lists = `/lib/modules/${on.read("/proc/sys/kernel/osrelease")}`;
  // A file has "-" or "_" where the kernel has "_".
  const file = new RegExp(`/${name.replaceAll("_", "[-_]")}\\.ko`);
  const listed = (list: string) => {
    const text = on.read(`${lists}/${list}`);
    return text === undefined ? undefined : file.test(text);
  };
  if (listed("modules.builtin")) return "built in";
  if (on.has(`/sys/module/${name}`)) return "loaded";
  const there = listed("modules.dep");
  if (there === undefined) return "unknown";
  return there ? "not loaded" : "missing";
}

/** Whether the driver that devices are bound to is there. */
export function* vfioDriver(on: Examined): Generator<Finding> {
  const check = "vfio-driver";
  const found = presence(on, "vfio_pci");
  if (on.has("/sys/bus/pci/drivers/vfio-pci")) {
    const text = found === "built in"
      ? "vfio-pci is built into the kernel: its options are given on the " +
        "kernel's command line (vfio-pci.…), and modprobe.d does nothing"
      : "vfio-pci is loaded";
    yield { check, verdict: "pass", text };
    return;
  }
  if (found === "not loaded" || found === "unknown") {
    yield {
      check,
      verdict: "fail",
      text: "vfio-pci is not loaded",
      remedy: "modprobe vfio-pci; to have it at every boot: " +
        "echo vfio-pci > /etc/modules-load.d/vfio-pci.conf",
    };
    return;
  }
  yield {
    check,
    verdict: "fail",
    text: "this kernel has no vfio-pci",
    remedy: "boot a kernel built with CONFIG_VFIO_PCI; some distributions " +
      "leave it out of their kernels for clouds, or have it in a package of " +
      "further modules",
  };
}

/** Whether a device can be attached: by the container or by iommufd. */
export function* vfioBackend(on: Examined): Generator<Finding> {
  // Loading the driver loads this too, so one remedy is enough.
  if (!on.has("/sys/bus/pci/drivers/vfio-pci")) return;
  const check = "vfio-backend";
  const type1 = presence(on, "vfio_iommu_type1");
  const ways = [
    ...type1 === "loaded" || type1 === "built in" ? ["the container"] : [],
    ...on.has("/dev/iommu") ? ["iommufd"] : [],
  ];
  yield ways.length > 0
    ? {
      check,
      verdict: "pass",
      text: `devices can be attached through ${ways.join(" and ")}`,
    }
    : {
      check,
      verdict: "fail",
      text: "neither the container nor iommufd is there to attach through",
      remedy: type1 === "missing"
        ? "boot a kernel built with CONFIG_VFIO_IOMMU_TYPE1 or CONFIG_IOMMUFD"
        : "modprobe vfio_iommu_type1",
    };
}

/**
 * Whether the kernel is locked down, as many distributions have it where Secure
 * Boot is on. VFIO itself works (`security/lockdown/lockdown.c`).
 */
export function* lockdown(on: Examined): Generator<Finding> {
  const check = "lockdown";
  const modes = on.read("/sys/kernel/security/lockdown");
  const mode = modes === undefined ? undefined : /\[(\w+)\]/.exec(modes)?.[1];
  if (mode === undefined) return;
  yield mode === "none"
    ? { check, verdict: "pass", text: "the kernel is not locked down" }
    : {
      check,
      verdict: "warn",
      text: `the kernel is locked down (${mode}): it loads no unsigned ` +
        "modules, such as vendor-reset, and lets nobody write config space " +
        "or map BARs past VFIO",
      remedy: "sign the modules that are needed and enrol the key " +
        "(mokutil --import); to end lockdown, switch Secure Boot off in the " +
        "firmware's set-up",
    };
}
