/**
 * What a whole iommufd is told: whose memory it counts, the compatibility IOAS,
 * another process, a descriptor that was passed.
 */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Iommufd } from "../../../../backends/iommufd/mod.ts";
import { IOMMU_IOAS_CHANGE_PROCESS } from "../../../../lib/uapi/iommufd/all.ts";
import {
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../../../../lib/uapi/vfio/all.ts";
import { failure } from "../../../failures.ts";
import { lockedKilobytes } from "../observe.ts";
import { host } from "../setup.ts";
import { APERTURE, PAGE } from "./mock.ts";
import { onMock } from "./test.ts";

onMock(
  "Iommufd.compatibilityIoas is what the calls of a container work on",
  ({ iommufd }) => {
    assertEquals(iommufd.compatibilityIoas, undefined);
    const ioas = iommufd.allocateIoas();
    iommufd.compatibilityIoas = ioas;
    assertEquals(iommufd.compatibilityIoas, ioas);
    iommufd.compatibilityIoas = undefined;
    assertEquals(iommufd.compatibilityIoas, undefined);
    iommufd.compatibilityIoas = ioas;
    // It does not keep it.
    ioas.destroy();
    assertEquals(iommufd.compatibilityIoas, undefined);
  },
);

onMock(
  "a container's calls on an iommufd map into its compatibility IOAS",
  (mock) => {
    const { iommufd } = mock;
    const ioas = iommufd.allocateIoas();
    mock.device(ioas);
    iommufd.compatibilityIoas = ioas;
    const { fd } = iommufd;
    assertEquals(fd.ioctl(VFIO_GET_API_VERSION), 0);
    fd.ioctl(VFIO_SET_IOMMU, BigInt(VFIO_TYPE1v2_IOMMU));
    const { address } = mock.memory(PAGE);
    fd.ioctl(
      VFIO_IOMMU_MAP_DMA,
      vfio_iommu_type1_dma_map.alloc({
        flags: 3,
        vaddr: address,
        iova: APERTURE,
        size: BigInt(PAGE),
      }),
    );
    assertEquals(ioas.unmap(APERTURE, PAGE), BigInt(PAGE));
  },
);

onMock(
  "Iommufd.memoryAccount is chosen before anything is made",
  ({ iommufd }) => {
    assertEquals(iommufd.memoryAccount, "user");
    iommufd.memoryAccount = "process";
    assertEquals(iommufd.memoryAccount, "process");
    assertThrows(() => iommufd.memoryAccount = "me" as "user", TypeError);
    iommufd.allocateIoas();
    failure("IN_USE", () => iommufd.memoryAccount = "user");
    assertEquals(iommufd.memoryAccount, "process");
  },
);

onMock(
  "Iommufd.changeProcess() takes over what is mapped by files, and nothing else",
  (mock) => {
    const { kernel } = host;
    const { iommufd } = mock;
    const ioas = iommufd.allocateIoas();
    mock.device(ioas);
    const fd = kernel.memfd("guest", 1);
    try {
      kernel.ftruncate(fd, BigInt(4 * PAGE));
      ioas.mapFile({ fd, offset: 0 }, 4 * PAGE, { iova: APERTURE });
    } finally {
      kernel.close(fd);
    }
    const before = lockedKilobytes();
    iommufd.changeProcess();
    assertEquals(lockedKilobytes(), before);
    const { address } = mock.memory(PAGE);
    const iova = ioas.unsafeMap({ address, size: PAGE });
    const { message } = failure("NOT_SUPPORTED", () => iommufd.changeProcess());
    assert(message.includes("by files"), message);
    ioas.unmap(iova, PAGE);
    iommufd.changeProcess();
  },
);

/**
 * Another process, which gets a descriptor of this one, takes over what is
 * mapped, and prints how much memory it has pinned.
 */
const TAKE_OVER = `
my ($pid, $fd, $call) = @ARGV;
my ($pidfd_open, $pidfd_getfd) = (434, 438);
my $own = syscall($pidfd_getfd, syscall($pidfd_open, $pid + 0, 0), $fd + 0, 0);
open(my $iommufd, "+<&=", $own) or die "open: $!";
my $argument = pack("LL", 8, 0);
ioctl($iommufd, $call + 0, $argument) or die "ioctl: $!";
open(my $status, "<", "/proc/self/status") or die;
print grep { /^VmPin/ } <$status>;
`;

onMock(
  "Iommufd.changeProcess() takes over what another process has pinned",
  (mock) => {
    const { kernel } = host;
    const { iommufd } = mock;
    const ioas = iommufd.allocateIoas();
    mock.device(ioas);
    const memory = kernel.memfd("guest", 1);
    try {
      kernel.ftruncate(memory, BigInt(4 * PAGE));
      ioas.mapFile({ fd: memory, offset: 0 }, 4 * PAGE, { iova: APERTURE });
    } finally {
      kernel.close(memory);
    }
    assertEquals(lockedKilobytes(), 16);
    const { fd } = iommufd;
    const { request } = IOMMU_IOAS_CHANGE_PROCESS;
    const { stdout, stderr } = new Deno.Command("perl", {
      args: ["-e", TAKE_OVER, ...[Deno.pid, fd.number, request].map(String)],
    }).outputSync();
    const text = new TextDecoder();
    // What root maps is not counted, so that its count stays where it is.
    assertMatch(text.decode(stdout), /^VmPin:\s+0 kB$/m, text.decode(stderr));
    assertEquals(lockedKilobytes(), 16);
    // Not taken back, it would be subtracted from that process's count.
    iommufd.changeProcess();
    assertEquals(ioas.unmapAll(), BigInt(4 * PAGE));
    assertEquals(lockedKilobytes(), 0);
  },
);

onMock(
  "Iommufd.from() takes one that is open, and leaves nothing of its own in it",
  ({ iommufd }) => {
    const mine = iommufd.allocateIoas();
    {
      using other = Iommufd.from(iommufd.fd.number, host);
      const theirs = other.allocateIoas();
      assertEquals(theirs.id, mine.id + 1);
      assertThrows(() => mine.copy(theirs, 0n, PAGE), TypeError);
    }
    // Its number is free again.
    assertEquals(iommufd.allocateIoas().id, mine.id + 1);
    failure("KERNEL", () => Iommufd.from(99_999, host));
  },
);
