/**
 * The formats, by name.
 *
 * @module
 */

import type { Format, HandoffFormat } from "./format.ts";
import { ANSIBLE } from "./formats/ansible.ts";
import { CDI } from "./formats/cdi.ts";
import {
  CLOUD_HYPERVISOR,
  CLOUD_HYPERVISOR_API,
} from "./formats/cloud_hypervisor.ts";
import { DRA } from "./formats/dra.ts";
import { ENV } from "./formats/env.ts";
import { KUBEVIRT, KUBEVIRT_MACHINE } from "./formats/kubevirt.ts";
import { LIBVIRT, LIBVIRT_NODEDEV } from "./formats/libvirt.ts";
import { QEMU } from "./formats/qemu.ts";
import { SRIOV_DEVICE_PLUGIN } from "./formats/sriov_device_plugin.ts";
import { SYSTEMD } from "./formats/systemd.ts";

/** Each format by its name. */
export const FORMATS: Readonly<Record<HandoffFormat, Format>> = {
  "ansible": ANSIBLE,
  "cdi": CDI,
  "cloud-hypervisor": CLOUD_HYPERVISOR,
  "cloud-hypervisor-api": CLOUD_HYPERVISOR_API,
  "dra": DRA,
  "env": ENV,
  "kubevirt": KUBEVIRT,
  "kubevirt-machine": KUBEVIRT_MACHINE,
  "libvirt": LIBVIRT,
  "libvirt-nodedev": LIBVIRT_NODEDEV,
  "qemu": QEMU,
  "sriov-device-plugin": SRIOV_DEVICE_PLUGIN,
  "systemd": SYSTEMD,
};
