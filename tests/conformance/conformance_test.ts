/**
 * The suite in one module, as loading a module takes longer than most of its
 * tests, above all in a guest.
 */
// First, as it needs huge pages at low addresses.
import "./cases/physical.ts";
import "./cases/attach.ts";
import "./cases/busy.ts";
import "./cases/cdev.ts";
import "./cases/container.ts";
import "./cases/device.ts";
import "./cases/dirty.ts";
import "./cases/dma.ts";
import "./cases/drivers.ts";
import "./cases/equivalence.ts";
import "./cases/features.ts";
import "./cases/files.ts";
import "./cases/foreign_reset.ts";
import "./cases/file_memory.ts";
import "./cases/groups.ts";
import "./cases/hwpt.ts";
import "./cases/interrupts.ts";
import "./cases/iommu.ts";
import "./cases/iommufd.ts";
import "./cases/iommufd_context.ts";
import "./cases/iommufd_objects.ts";
import "./cases/irq_requests.ts";
import "./cases/irqs.ts";
import "./cases/kvm.ts";
import "./cases/mediated.ts";
import "./cases/migration.ts";
import "./cases/no_iommu.ts";
import "./cases/random.ts";
import "./cases/regions.ts";
import "./cases/reset.ts";
import "./cases/rom.ts";
import "./cases/samples.ts";
import "./cases/sriov.ts";
import "./cases/type1.ts";
import "./cases/type1_vaddr.ts";
import "./cases/vf_token.ts";
