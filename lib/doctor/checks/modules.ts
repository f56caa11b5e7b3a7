/**
 * Checks of what the kernel was built with, has loaded, and allows.
 *
 * @module
 */

import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

/** How the kernel has a module. */
type Presence = "built in" | "loaded" | "not loaded" | "missing" | "unknown";

/**
 * Looks a module up in the lists that `depmod` and the kernel's build leave
 * (`modules.dep`, `modules.builtin`).
 */
function presence(examined: Examined, name: string): Presence {
  const lists = `/lib/modules/${examined.read("/proc/sys/kernel/osrelease")}`;
  // A file has "-" or "_" where the kernel has "_".
  const file = new RegExp(`/${name.replaceAll("_", "[-_]")}\\.ko`);
  const listed = (list: string) => {
    const text = examined.read(`${lists}/${list}`);
    return text === undefined ? undefined : file.test(text);
  };
  if (listed("modules.builtin")) return "built in";
  if (examined.has(`/sys/module/${name}`)) return "loaded";
  const listedAsModule = listed("modules.dep");
  if (listedAsModule === undefined) return "unknown";
  return listedAsModule ? "not loaded" : "missing";
}

/** Whether the driver that devices are bound to is there. */
export function* vfioDriver(examined: Examined): Generator<Finding> {
  const check = "vfio-driver";
  const vfioPci = presence(examined, "vfio_pci");
  if (examined.has("/sys/bus/pci/drivers/vfio-pci")) {
    const text = vfioPci === "built in"
      ? "vfio-pci is built into the kernel: its options are given on the " +
        "kernel's command line (vfio-pci.…), and modprobe.d does nothing"
      : "vfio-pci is loaded";
    yield { check, verdict: "pass", text };
    return;
  }
  if (vfioPci === "not loaded" || vfioPci === "unknown") {
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
export function* vfioBackend(examined: Examined): Generator<Finding> {
  // Loading the driver loads this too, so one remedy is enough.
  if (!examined.has("/sys/bus/pci/drivers/vfio-pci")) return;
  const check = "vfio-backend";
  const type1 = presence(examined, "vfio_iommu_type1");
  const ways = [
    ...type1 === "loaded" || type1 === "built in" ? ["the container"] : [],
    ...examined.has("/dev/iommu") ? ["iommufd"] : [],
  ];
  if (
    examined.has("/sys/module/vfio_iommu_spapr_tce") &&
    !examined.has("/dev/iommu")
  ) {
    yield {
      check,
      verdict: "fail",
      text: "no device can be attached: POWER's IOMMU has a container of its " +
        "own (SPAPR TCE)",
      remedy: "hand devices out by QEMU or libvirt, which have that",
    };
    return;
  }
  yield ways.length > 0
    ? {
      check,
      verdict: "pass",
      text: `devices can be attached through ${ways.join(" and ")}`,
    }
    : {
      check,
      verdict: "fail",
      text: "no device can be attached: there is neither the container nor " +
        "iommufd",
      remedy: type1 === "missing"
        ? "boot a kernel built with CONFIG_VFIO_IOMMU_TYPE1 or CONFIG_IOMMUFD"
        : "modprobe vfio_iommu_type1",
    };
}

/**
 * Whether the kernel is locked down, as many distributions have it where Secure
 * Boot is on. VFIO itself works (`security/lockdown/lockdown.c`).
 */
export function* lockdown(examined: Examined): Generator<Finding> {
  const check = "lockdown";
  const modes = examined.read("/sys/kernel/security/lockdown");
  const mode = modes === undefined ? undefined : /\[(\w+)\]/.exec(modes)?.[1];
  if (mode === undefined) return;
  yield mode === "none"
    ? { check, verdict: "pass", text: "the kernel is not locked down" }
    : {
      check,
      verdict: "warn",
      text: `the kernel is locked down (${mode}): it loads no unsigned ` +
        "modules, such as vendor-reset, and config space and BARs can be " +
        "written only through VFIO",
      remedy: "sign the modules that are needed and enrol the key " +
        "(mokutil --import); to end lockdown, switch Secure Boot off in the " +
        "firmware's set-up",
    };
}
