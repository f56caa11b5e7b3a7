/**
 * The names of device classes.
 *
 * @module
 */

import { PciIds } from "./ids.ts";

/**
 * The base classes and subclasses of the PCI Code and ID Assignment
 * Specification, in the words and the format of `pci.ids`.
 */
const CLASSES = new PciIds(`
C 00  Unclassified device
\t00  Non-VGA unclassified device
\t01  VGA compatible unclassified device
\t05  Image coprocessor
C 01  Mass storage controller
\t00  SCSI storage controller
\t01  IDE interface
\t02  Floppy disk controller
\t03  IPI bus controller
\t04  RAID bus controller
\t05  ATA controller
\t06  SATA controller
\t07  Serial Attached SCSI controller
\t08  Non-Volatile memory controller
\t09  Universal Flash Storage controller
\t80  Mass storage controller
C 02  Network controller
\t00  Ethernet controller
\t01  Token ring network controller
\t02  FDDI network controller
\t03  ATM network controller
\t04  ISDN controller
\t05  WorldFip controller
\t06  PICMG controller
\t07  Infiniband controller
\t08  Fabric controller
\t80  Network controller
C 03  Display controller
\t00  VGA compatible controller
\t01  XGA compatible controller
\t02  3D controller
\t80  Display controller
C 04  Multimedia controller
\t00  Multimedia video controller
\t01  Multimedia audio controller
\t02  Computer telephony device
\t03  Audio device
\t80  Multimedia controller
C 05  Memory controller
\t00  RAM memory
\t01  FLASH memory
\t02  CXL
\t80  Memory controller
C 06  Bridge
\t00  Host bridge
\t01  ISA bridge
\t02  EISA bridge
\t03  MicroChannel bridge
\t04  PCI bridge
\t05  PCMCIA bridge
\t06  NuBus bridge
\t07  CardBus bridge
\t08  RACEway bridge
\t09  Semi-transparent PCI-to-PCI bridge
\t0a  InfiniBand to PCI host bridge
\t80  Bridge
C 07  Communication controller
\t00  Serial controller
\t01  Parallel controller
\t02  Multiport serial controller
\t03  Modem
\t04  GPIB controller
\t05  Smart Card controller
\t80  Communication controller
C 08  Generic system peripheral
\t00  PIC
\t01  DMA controller
\t02  Timer
\t03  RTC
\t04  PCI Hot-plug controller
\t05  SD Host controller
\t06  IOMMU
\t80  System peripheral
\t99  Timing Card
C 09  Input device controller
\t00  Keyboard controller
\t01  Digitizer Pen
\t02  Mouse controller
\t03  Scanner controller
\t04  Gameport controller
\t80  Input device controller
C 0a  Docking station
\t00  Generic Docking Station
\t80  Docking Station
C 0b  Processor
\t00  386
\t01  486
\t02  Pentium
\t10  Alpha
\t20  Power PC
\t30  MIPS
\t40  Co-processor
C 0c  Serial bus controller
\t00  FireWire (IEEE 1394)
\t01  ACCESS Bus
\t02  SSA
\t03  USB controller
\t04  Fibre Channel
\t05  SMBus
\t06  InfiniBand
\t07  IPMI Interface
\t08  SERCOS interface
\t09  CANBUS
\t80  Serial bus controller
C 0d  Wireless controller
\t00  IRDA controller
\t01  Consumer IR controller
\t10  RF controller
\t11  Bluetooth
\t12  Broadband
\t20  802.1a controller
\t21  802.1b controller
\t80  Wireless controller
C 0e  Intelligent controller
\t00  I2O
C 0f  Satellite communications controller
\t01  Satellite TV controller
\t02  Satellite audio communication controller
\t03  Satellite voice communication controller
\t04  Satellite data communication controller
C 10  Encryption controller
\t00  Network and computing encryption device
\t10  Entertainment encryption device
\t80  Encryption controller
C 11  Signal processing controller
\t00  DPIO module
\t01  Performance counters
\t10  Communication synchronizer
\t20  Signal processing management
\t80  Signal processing controller
C 12  Processing accelerators
\t00  Processing accelerators
\t01  SNIA Smart Data Accelerator Interface (SDXI) controller
C 13  Non-Essential Instrumentation
C 40  Coprocessor
C ff  Unassigned class
`);

/**
 * Returns the name of a class as the PCI specification lists it, so that a class
 * has a name on a host without `pci.ids` too.
 *
 * @param code The 24 bits of the class register.
 * @returns The name of the subclass, or else of the base class;
 * `undefined` for what is not listed.
 *
 * @example
 * ```ts ignore
 * import { className } from "./class_names.ts";
 *
 * console.log(className(0x010802)); // Non-Volatile memory controller
 * ```
 */
export function className(code: number): string | undefined {
  return CLASSES.class(code);
}
