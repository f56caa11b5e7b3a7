/**
 * Which functions can be handed out.
 *
 * @module
 */

/**
 * Classes of bridges that only lead to something else, by base class and
 * subclass: to a host, ISA, EISA, MicroChannel, PCI, PCMCIA, NuBus, CardBus.
 * Others of the base class are devices, such as NVSwitch and non-transparent
 * bridges.
 */
const LEADING: ReadonlySet<number> = new Set([
  ...[0x0600, 0x0601, 0x0602, 0x0603, 0x0604, 0x0605, 0x0606, 0x0607, 0x0609],
]);

/** An IOMMU that is a PCI function itself, as AMD's are. */
const PCI_CLASS_SYSTEM_IOMMU = 0x0806;

/**
 * Whether a function of a class is something to hand out, rather than a bridge
 * or an IOMMU. A bridge without a driver is in nobody's way.
 *
 * @param code The 24 bits of the class register.
 */
export function isEndpointClass(code: number): boolean {
  const kind = code >> 8;
  return !LEADING.has(kind) && kind !== PCI_CLASS_SYSTEM_IOMMU;
}
