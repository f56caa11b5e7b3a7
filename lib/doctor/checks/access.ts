/**
 * Checks of the rights of this process.
 *
 * @module
 */

import { memoryLock } from "../../host/iommu/memory_lock.ts";
import { nodePaths } from "../../host/iommu/nodes.ts";
import { isVfioDriver } from "../../host/driver/vfio_driver.ts";
import { sizeText } from "../../host/size_text.ts";
import type { Examined } from "../examined.ts";
import type { Finding } from "../finding.ts";

/**
 * The user, groups and capabilities of this process, from `/proc/self/status`.
 */
interface Identity {
  readonly uid: number;
  readonly groups: readonly number[];
  /** CAP_DAC_OVERRIDE: it may open everything. */
  readonly overrides: boolean;
}

/** `include/uapi/linux/capability.h` */
const CAP_DAC_OVERRIDE = 1n;

function identityOf(examined: Examined): Identity {
  const status = examined.read("/proc/self/status") ?? "";
  const numbers = (name: string) =>
    (new RegExp(`^${name}:(.*)$`, "m").exec(status)?.[1] ?? "")
      .split(/\s+/).filter((word) => word !== "").map(Number);
  const capabilities = /^CapEff:\s*(\w+)/m.exec(status)?.[1] ?? "0";
  // The columns are the real, effective, saved and file system ids.
  const [, , , uid = -1] = numbers("Uid");
  const [, , , gid = -1] = numbers("Gid");
  return {
    uid,
    groups: [gid, ...numbers("Groups")],
    overrides: (BigInt(`0x${capabilities}`) >> CAP_DAC_OVERRIDE & 1n) === 1n,
  };
}

/** Whether functions can be taken from their drivers by this user. */
export function* privilege(examined: Examined): Generator<Finding> {
  const check = "privilege";
  const { uid, overrides } = identityOf(examined);
  if (overrides || uid === 0) {
    const text = "this user may take functions from their drivers";
    yield { check, verdict: "pass", text };
    return;
  }
  const bound = examined.asked &&
    examined.functions.every(({ driver }) =>
      driver !== undefined && isVfioDriver(driver)
    );
  if (bound) return;
  yield {
    check,
    verdict: "warn",
    text: "this user may neither take functions from their drivers nor read " +
      "all that the checks need",
    remedy: "run this as root; once a function is bound to vfio-pci, a user " +
      "who may open its nodes can attach it",
  };
}

/**
 * Whether the device nodes exist and this user may open them: the common ones,
 * and those of functions that are bound to VFIO drivers.
 */
export function* nodes(examined: Examined): Generator<Finding> {
  if (!examined.has("/sys/bus/pci/drivers/vfio-pci")) return;
  const common = ["/dev/vfio/vfio", "/dev/iommu"].filter((path) =>
    examined.has(path)
  );
  if (common.length === 0) {
    yield {
      check: "nodes",
      verdict: "fail",
      text: "there is neither /dev/vfio/vfio nor /dev/iommu",
      remedy: "mount devtmpfs on /dev; in a container, let its runtime add " +
        "the nodes",
    };
    return;
  }
  const identity = identityOf(examined);
  const withNodes = examined.functions.filter((fn) =>
    nodePaths([fn]).length > 0
  );
  const deviceNodes = nodePaths(withNodes);
  const missing = deviceNodes.filter((path) => !examined.has(path));
  const unopenable = [...common, ...deviceNodes].filter((path) =>
    examined.has(path) && !mayOpen(examined, path, identity)
  );
  for (const path of missing) {
    yield {
      check: "nodes",
      verdict: examined.asked ? "fail" : "warn",
      text: `the kernel has announced ${path}, and it is not there`,
      remedy: "mount devtmpfs on /dev; in a container, let its runtime add " +
        "the node",
    };
  }
  for (const path of unopenable) {
    // One of the two nodes is enough.
    const other = common.includes(path) &&
      common.some((each) => !unopenable.includes(each));
    yield {
      check: "nodes",
      verdict: examined.asked && !other ? "fail" : "warn",
      text: `this user may not open ${path}`,
      remedy:
        `as root: chown ${identity.uid} ${path}; a udev rule makes it last`,
    };
  }
  if (missing.length + unopenable.length === 0) {
    const text = `this user may open ${[...common, ...deviceNodes].join(", ")}`;
    yield { check: "nodes", verdict: "pass", text };
  }
}

function mayOpen(
  examined: Examined,
  path: string,
  { uid, groups, overrides }: Identity,
): boolean {
  if (overrides) return true;
  const status = examined.kernel.stat(path);
  const shift = status.uid === uid ? 6 : groups.includes(status.gid) ? 3 : 0;
  const READ_AND_WRITE = 0o6;
  return (status.mode >> shift & READ_AND_WRITE) === READ_AND_WRITE;
}

/** Whether memory for DMA, which is locked, is limited for this process. */
export function* memoryLimit(examined: Examined): Generator<Finding> {
  const check = "memory-limit";
  const { limit, locked } = memoryLock(examined.kernel);
  if (limit === undefined) {
    const text = "this process may lock as much memory as there is";
    yield { check, verdict: "pass", text };
    return;
  }
  const { memory } = examined;
  const left = limit > locked ? limit - locked : 0n;
  const text = `this process may lock ${sizeText(left)} of memory, and all ` +
    "memory for DMA is locked: for a virtual machine, its whole memory";
  if (memory !== undefined && memory <= left) {
    yield { check, verdict: "pass", text };
    return;
  }
  yield {
    check,
    verdict: memory === undefined ? "warn" : "fail",
    text: memory === undefined
      ? text
      : `${text}: ${sizeText(memory)} are too much`,
    remedy: "raise RLIMIT_MEMLOCK: ulimit -l as root, LimitMEMLOCK= in a " +
      "systemd unit, memlock in /etc/security/limits.d",
  };
}
