import { hex } from "../../hex.ts";
import { VfioError } from "../../errors.ts";
import type { HostDevice } from "../../host/device.ts";
import { exists } from "../../host/sysfs.ts";
import {
  PCI_CAP_ID_PM,
  PCI_CAP_LIST_ID,
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_COMMAND,
  PCI_COMMAND_MEMORY,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from "../../uapi/pci/regs.ts";
import { type RegisterClosure, RegisterGate } from "./register_gate.ts";
import type { Registers } from "./registers.ts";

/** The value of PCI_PM_CTRL_STATE_MASK in which memory is not decoded. */
const D3HOT = 3;

/** As many capabilities as fit. */
const MAX_CAPABILITIES = 48;

/**
 * Makes the gate of a device's registers. It asks nothing yet.
 *
 * @param device The device.
 * @param isPci Whether VFIO takes it as a PCI function.
 * @param config Its config space.
 */
export function memoryGate(
  device: HostDevice,
  isPci: boolean,
  config: () => Registers,
): RegisterGate {
  const { name, path, bus, host: { kernel } } = device;
  // The driver of a mediated device decides by itself what can be accessed.
  if (bus !== "pci" || !isPci) return new RegisterGate(name, () => undefined);
  const decoding = new MemoryDecoding(
    config,
    () => exists(kernel, `${path}/physfn`),
  );
  return new RegisterGate(name, () => decoding.closure());
}

/** Whether a PCI function answers accesses to its memory. */
class MemoryDecoding {
  readonly #config: () => Registers;
  readonly #isVirtual: () => boolean;
  /** Whether PCI_COMMAND_MEMORY matters. */
  #hasMemoryBit: boolean | undefined;
  /** Where its power management capability is; 0 where it has none. */
  #power: number | undefined;

  /**
   * Asks nothing yet.
   *
   * @param config Its config space.
   * @param isVirtual Returns whether it is a virtual function, whose memory the
   * kernel takes as decoded (`no_command_memory`).
   */
  constructor(config: () => Registers, isVirtual: () => boolean) {
    this.#config = config;
    this.#isVirtual = isVirtual;
  }

  /**
   * Asks the function what the kernel asks (`__vfio_pci_memory_enabled()` in
   * `drivers/vfio/pci/vfio_pci_config.c`).
   *
   * @returns Why its memory cannot be accessed, or `undefined` where it can.
   */
  closure(): RegisterClosure | undefined {
    try {
      return this.#closure();
    } catch (cause) {
      if (!(cause instanceof VfioError)) throw cause;
      return {
        problem: "its config space does not say whether its memory is decoded",
        hint: "try again",
        cause,
      };
    }
  }

  #closure(): RegisterClosure | undefined {
    const config = this.#config();
    const command = config.read16(PCI_COMMAND);
    this.#hasMemoryBit ??= !this.#isVirtual();
    if (this.#hasMemoryBit && (command & PCI_COMMAND_MEMORY) === 0) {
      return {
        problem: "its memory is not decoded: PCI_COMMAND_MEMORY is off",
        hint: "switch it on: write " + hex(command | PCI_COMMAND_MEMORY, 4) +
          ` to offset ${PCI_COMMAND} of its config space`,
      };
    }
    const power = this.#power ??= findCapability(config, PCI_CAP_ID_PM);
    if (power === 0) return undefined;
    const control = config.read16(power + PCI_PM_CTRL);
    if ((control & PCI_PM_CTRL_STATE_MASK) !== D3HOT) return undefined;
    return {
      problem: "it sleeps: its power state is D3hot",
      hint: `wake it: write ${hex(control & ~PCI_PM_CTRL_STATE_MASK, 4)} to ` +
        `offset ${power + PCI_PM_CTRL} of its config space`,
    };
  }
}

/**
 * Where a capability begins.
 *
 * @param config Config space.
 * @param id `PCI_CAP_ID_*`.
 * @returns The offset; 0 where the function has none.
 */
export function findCapability(config: Registers, id: number): number {
  if ((config.read16(PCI_STATUS) & PCI_STATUS_CAP_LIST) === 0) return 0;
  let at = config.read8(PCI_CAPABILITY_LIST) & ~3;
  for (let left = MAX_CAPABILITIES; at !== 0 && left > 0; left--) {
    if (config.read8(at + PCI_CAP_LIST_ID) === id) return at;
    at = config.read8(at + PCI_CAP_LIST_NEXT) & ~3;
  }
  return 0;
}
