import { PCI_COMMAND, PCI_COMMAND_MASTER } from "../uapi/pci/regs.ts";
import type { Registers } from "./registers.ts";

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
