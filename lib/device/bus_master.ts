import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../uapi/pci/regs.ts";
import type { Registers } from "./regions/registers.ts";

/**
 * Whether a PCI function may start DMA.
 *
 * @param config Its config space.
 */
export function isBusMaster(config: Registers): boolean {
  return (config.read16(PCI_COMMAND) & PCI_COMMAND_MASTER) !== 0;
}

/**
 * Allows or forbids a PCI function to start DMA.
 *
 * @param config Its config space.
 * @param enabled Whether it may.
 */
export function setBusMaster(config: Registers, enabled: boolean): void {
  const command = config.read16(PCI_COMMAND);
  config.write16(
    PCI_COMMAND,
    enabled ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER,
  );
}
