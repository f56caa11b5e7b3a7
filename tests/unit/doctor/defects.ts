import { assertEquals } from "@std/assert";
import type { CheckName } from "../../../lib/doctor/finding.ts";
import {
  A,
  B,
  type Defects,
  diagnosisOf,
  found,
  MODULES,
  NIC,
  ONBOARD,
  PORT,
  RELEASE,
} from "./fit_host.ts";

const GROUPS = "/sys/kernel/iommu_groups";

/** Defects: the name, the check, its verdict, the text, and the host. */
const DEFECTS: ReadonlyArray<
  readonly [string, CheckName, "fail" | "warn", string, Defects]
> = [
  [
    "there is no IOMMU in the firmware",
    "iommu",
    "fail",
    "VT-d is switched off in the firmware",
    { iommu: "none" },
  ],
  [
    "AMD's IOMMU is switched off on the command line",
    "iommu",
    "fail",
    "booted with amd_iommu=off",
    {
      iommu: "none",
      kernel: { release: RELEASE, commandLine: "amd_iommu=off" },
    },
  ],
  [
    "VFIO takes devices without an IOMMU",
    "no-iommu-mode",
    "warn",
    "reach all memory",
    { kernel: { release: RELEASE, unsafeNoIommu: true } },
  ],
  [
    "the IOMMU leaves the function out",
    "group",
    "fail",
    "does not cover it",
    { fn: { group: null }, functions: { "0000:00:03.0": ONBOARD } },
  ],
  [
    "the firmware keeps memory mapped",
    "direct-mapping",
    "fail",
    "0xe0000000 to 0xe00fffff",
    {
      files: {
        [`${GROUPS}/7/reserved_regions`]:
          "0x00000000fee00000 0x00000000feefffff msi\n" +
          "0x00000000e0000000 0x00000000e00fffff direct\n",
      },
    },
  ],
  [
    "a driver has another function of the group",
    "group-viable",
    "fail",
    `holds ${B} (snd_hda_intel), as slot 0000:01:00 has no ACS`,
    { functions: { [B]: { ...NIC, group: 7, driver: "snd_hda_intel" } } },
  ],
  [
    "a bridge without ACS makes the group",
    "acs",
    "warn",
    `${PORT} has no ACS`,
    {
      fn: { group: 9 },
      functions: {
        [PORT]: { id: "8086:a110", class: 0x060400, acs: false, group: 9 },
        "0000:01:01.0": { ...NIC, group: 9 },
      },
    },
  ],
  [
    "missing ACS is ignored",
    "acs-override",
    "warn",
    "pcie_acs_override=downstream,multifunction",
    {
      kernel: {
        release: RELEASE,
        commandLine: "quiet pcie_acs_override=downstream,multifunction",
      },
    },
  ],
  [
    "interrupt remapping is switched off",
    "interrupt-remapping",
    "fail",
    "switched off by intremap=off: VFIO refuses every device",
    { kernel: { release: RELEASE, commandLine: "intremap=off" } },
  ],
  [
    "the IOMMU cannot remap interrupts",
    "interrupt-remapping",
    "fail",
    "cannot remap interrupts (dmar0)",
    {
      files: {
        "/proc/interrupts": "  0:  1  IO-APIC  2-edge  timer\n",
        "/sys/class/iommu/dmar0/intel-iommu/ecap": "f00f42\n",
      },
    },
  ],
  [
    "interrupts are not remapped, and that is ignored",
    "interrupt-remapping",
    "warn",
    "vfio_iommu_type1 accepts devices all the same",
    {
      iommu: "amd",
      files: {
        "/proc/interrupts": "  0:  1  IO-APIC  2-edge  timer\n",
        "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts":
          "Y\n",
      },
    },
  ],
  [
    "the IOMMU is virtio's",
    "interrupt-remapping",
    "fail",
    "a virtio IOMMU remaps no interrupts: VFIO refuses every device",
    { iommu: "virtio" },
  ],
  [
    "only one of the modules ignores that interrupts are not remapped",
    "interrupt-remapping",
    "warn",
    "and vfio_iommu_type1 accepts devices all the same, unlike iommufd: one",
    {
      iommu: "virtio",
      kernel: {
        release: RELEASE,
        iommufd: true,
        commandLine: "vfio_iommu_type1.allow_unsafe_interrupts=1",
      },
    },
  ],
  [
    "the module exists and is not loaded",
    "vfio-driver",
    "fail",
    "vfio-pci is not loaded",
    {
      drivers: { "vfio-pci": false },
      files: {
        [`${MODULES}/modules.dep`]:
          "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko\n",
      },
    },
  ],
  [
    "the kernel has no such module",
    "vfio-driver",
    "fail",
    "this kernel has no vfio-pci",
    {
      drivers: { "vfio-pci": false },
      files: { [`${MODULES}/modules.dep`]: "kernel/fs/ext4/ext4.ko:\n" },
    },
  ],
  [
    "the kernel is locked down",
    "lockdown",
    "warn",
    "locked down (integrity)",
    {
      files: {
        "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
      },
    },
  ],
  [
    "the user has no privileges",
    "privilege",
    "warn",
    "may neither take functions",
    { process: { uid: 1000 } },
  ],
  [
    "this user may not open the nodes",
    "nodes",
    "fail",
    "may not open /dev/vfio/7",
    { fn: { driver: "vfio-pci" }, process: { uid: 1000 } },
  ],
  [
    "locked memory is limited",
    "memory-limit",
    "warn",
    "may lock 8 MiB",
    { process: { uid: 1000 } },
  ],
  [
    "the limit on locked memory is too low",
    "memory-limit",
    "fail",
    "4 GiB are too much",
    { process: { uid: 1000 }, options: { memory: 4n << 30n } },
  ],
  [
    "the function sleeps without power",
    "idle-sleep",
    "warn",
    "D3cold",
    {
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/power_state`]: "D3cold\n",
      },
    },
  ],
  [
    "a large BAR found no room",
    "bars",
    "fail",
    "BAR 0 of 8 GiB found no room below 4 GiB",
    { fn: { bars: ["8G 64bit prefetchable at 0x0"] } },
  ],
  [
    "a small BAR found no room",
    "bars",
    "fail",
    "BAR 1 of 16 KiB found no room",
    { fn: { bars: ["4K", "16K at 0x0"] } },
  ],
  [
    "a large BAR lies below 4 GiB",
    "bars",
    "warn",
    "BAR 2 of 512 MiB lies below 4 GiB, where BARs take 512 MiB",
    { fn: { bars: [null, null, "512M 64bit prefetchable at 0xa0000000"] } },
  ],
  [
    "BARs of virtual functions found no room",
    "virtual-bars",
    "warn",
    "none can be made",
    { fn: { sriov: { total: 7, id: "8086:10ca", bars: ["16K at 0x0"] } } },
  ],
  [
    "the kernel cannot reset the function",
    "reset",
    "warn",
    "nothing can reset it: the kernel does not reset its bus either",
    { fn: { reset: [] } },
  ],
  [
    "graphics need vendor-reset",
    "known-device",
    "warn",
    "second start of a guest fails",
    { fn: { id: "1002:67df", class: 0x030000, driver: "amdgpu" } },
  ],
  [
    "nvidia has the function",
    "known-device",
    "warn",
    "nvidia does not release the device",
    { fn: { id: "10de:2204", class: 0x030000, driver: "nvidia" } },
  ],
  [
    "a sound driver has the function",
    "known-device",
    "warn",
    "does not release the sound card",
    { fn: { id: "8086:a170", class: 0x040300, driver: "snd_hda_intel" } },
  ],
  [
    "something is plugged into a USB controller",
    "known-device",
    "warn",
    "USB controller",
    {
      fn: { id: "8086:a12f", class: 0x0c0330, driver: "xhci_hcd" },
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/usb1/1-2/product`]: "Keyboard\n",
      },
    },
  ],
  [
    "virtual functions have no bus number",
    "virtual-buses",
    "warn",
    "of 7 virtual functions that it could have, 2 can be made",
    {
      fn: {
        sriov: { total: 7, id: "8086:10ca", offset: 254, stride: 1 },
      },
      functions: {
        [PORT]: { id: "8086:a110", class: 0x060400, lastBus: 1 },
      },
    },
  ],
  [
    "virtual functions are not reached without ARI",
    "virtual-buses",
    "warn",
    "of 7 virtual functions that it could have, 5 can be made",
    {
      fn: { sriov: { total: 7, id: "8086:10ca", offset: 3, stride: 1 } },
      functions: {
        [PORT]: { id: "8086:a110", class: 0x060400, ari: false },
      },
    },
  ],
  [
    "a driver was there before vfio-pci",
    "boot",
    "warn",
    "at boot (the kernel's command line), and e1000e was there before",
    {
      kernel: {
        release: RELEASE,
        commandLine: "vfio-pci.ids=10de:1b80,8086:10D3:8086:0000",
      },
    },
  ],
  [
    "a driver was there before vfio-pci, which modprobe.d names",
    "boot",
    "warn",
    "at boot (/etc/modprobe.d/vfio.conf)",
    {
      files: {
        "/etc/modprobe.d/vfio.conf":
          "options vfio-pci disable_vga=1 ids=8086:10d3\n",
      },
    },
  ],
  [
    "vfio-pci's parameter is misspelt",
    "boot",
    "warn",
    "does not know the parameter vfio-pci-ids=8086:10d3",
    { kernel: { release: RELEASE, commandLine: "vfio-pci-ids=8086:10d3" } },
  ],
  [
    "MSI is switched off",
    "message-interrupts",
    "warn",
    "nomsi of pci=realloc,nomsi keeps MSI off",
    { kernel: { release: RELEASE, commandLine: "pci=realloc,nomsi" } },
  ],
  [
    "the chip set has no MSI",
    "message-interrupts",
    "warn",
    "for an erratum of the chip set (0000:00:00.0)",
    { functions: { "0000:00:00.0": { id: "1002:5950", class: 0x060000 } } },
  ],
  [
    "an override of ACS has no effect",
    "acs-override",
    "warn",
    "pcie_acs_override=multifunction has no effect: IOMMU group 7",
    {
      kernel: {
        release: RELEASE,
        commandLine: "pcie_acs_override=multifunction",
      },
      functions: { [B]: { ...NIC, group: 7, driver: null } },
    },
  ],
  [
    "ACS of a bridge is switched off on the command line",
    "acs-override",
    "warn",
    "pci=disable_acs_redir=0000:00:1c.0 changes the ACS",
    {
      kernel: {
        release: RELEASE,
        commandLine: "pci=noats,disable_acs_redir=0000:00:1c.0",
      },
    },
  ],
  [
    "the bus of an Atheros card must not be reset",
    "reset",
    "warn",
    `from which ${A} would not come back`,
    { fn: { id: "168c:003c", class: 0x028000, reset: [] } },
  ],
  [
    "a companion keeps the bus from being reset",
    "reset",
    "warn",
    `from which ${B} would not come back`,
    {
      fn: { reset: [] },
      functions: { [B]: { ...NIC, id: "168c:003c", group: 7, driver: null } },
    },
  ],
  [
    "an interrupt line that cannot be masked is shared",
    "known-device",
    "warn",
    "shares its line",
    {
      fn: { id: "8086:1572" },
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/irq`]: "16\n",
        "/proc/interrupts":
          " 16:  1  2  IR-IO-APIC  16-fasteoi   i801_smbus, i40e\n",
      },
    },
  ],
  [
    "the kernel does not use a reset that hangs",
    "reset",
    "warn",
    "a function-level reset would hang it",
    { fn: { id: "1022:149c", class: 0x0c0330 } },
  ],
  [
    "the firmware leaves the graphics out",
    "group",
    "fail",
    "no memory for the IOMMU's tables",
    {
      fn: { id: "8086:0046", class: 0x030000, group: null },
      functions: {
        "0000:00:00.0": { id: "8086:0040", class: 0x060000 },
        "0000:00:03.0": ONBOARD,
      },
    },
  ],
  [
    "virtual functions would go with the function",
    "host-use",
    "fail",
    "2 virtual functions would go with its driver",
    {
      fn: {
        driver: "igb",
        sriov: { total: 7, enabled: 2, id: "8086:10ca" },
      },
    },
  ],
  [
    "the function is the console",
    "host-use",
    "fail",
    "display that the machine booted with",
    {
      fn: { id: "8086:3e92", class: 0x030000, driver: "i915" },
      files: {
        [`/sys/devices/pci0000:00/${PORT}/${A}/boot_vga`]: "1\n",
      },
    },
  ],
];

for (const [name, check, verdict, text, defects] of DEFECTS) {
  Deno.test(`diagnose() finds ${check} when ${name}`, () => {
    // Selects one finding, as a machine can have two nodes, or two devices.
    const finding = found(check, defects)
      .find((finding) => finding.text.includes(text));
    assertEquals(
      finding?.verdict,
      verdict,
      JSON.stringify(
        diagnosisOf(defects).findings.filter((each) => each.check === check),
      ),
    );
    assertEquals(typeof finding?.remedy, "string");
    assertEquals(diagnosisOf(defects).fit, verdict === "warn");
  });
}
