/**
 * The tests of `lib/host/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./host/config.ts";
import "./host/device.ts";
import "./host/doctor.ts";
import "./host/guards.ts";
import "./host/no_iommu.ts";
import "./host/openers.ts";
import "./host/path.ts";
import "./host/pci_address.ts";
import "./host/pci_ids.ts";
import "./host/pci_tree.ts";
import "./host/take.ts";
