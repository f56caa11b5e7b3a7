/** VFIO_DEVICE_FEATURE of PCI functions and of the kernel's sample `mtty`. */
import { assert, assertEquals } from "@std/assert";
import {
  VFIO_DEVICE_FEATURE_DMA_BUF,
  vfio_device_feature_dma_buf,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  vfio_device_low_power_entry_with_wakeup,
  vfio_region_dma_range,
} from "../../../lib/uapi/vfio/feature.ts";
import {
  VFIO_DEVICE_FEATURE_GET as GET,
  VFIO_DEVICE_FEATURE_PROBE as PROBE,
  VFIO_DEVICE_FEATURE_SET as SET,
} from "../../../lib/uapi/vfio/feature_ioctl.ts";
import {
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  vfio_device_feature_dma_logging_report,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
  VFIO_DEVICE_FEATURE_MIGRATION,
} from "../../../lib/uapi/vfio/migration.ts";
import { answer } from "../answer.ts";
import type { DeviceFile } from "../device_file.ts";
import { mediated } from "../mediated.ts";
import { forEachBackend } from "../setup.ts";

/** Limits a test to systems with the kernel's samples. */
const SAMPLES = { on: "iommufd" } as const;

/** Asks for a feature, with so many bytes of data. */
function ask(device: DeviceFile, flags: number, bytes = 0, argsz?: number) {
  return answer(() => device.feature(flags, new Uint8Array(bytes), argsz));
}

forEachBackend(
  "VFIO_DEVICE_FEATURE checks what is asked before it answers",
  async (setup) => {
    const edu = await setup.device("edu0");
    const power = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
    for (
      const [flags, expected] of [
        [PROBE | power, 0],
        [PROBE | SET | power, 0],
        [PROBE | GET | power, "EINVAL"],
        [PROBE | GET | SET | power, "EINVAL"],
        [SET | power, 0],
        [GET | power, "EINVAL"],
        [GET | SET | power, "EINVAL"],
        [power, "EINVAL"],
        [1 << 19 | PROBE | power, "EINVAL"],
        [PROBE | 0xffff, "ENOTTY"],
        [PROBE | VFIO_DEVICE_FEATURE_MIGRATION, "ENOTTY"],
        [PROBE | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, "ENOTTY"],
        [PROBE | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, "ENOTTY"],
        [PROBE | VFIO_DEVICE_FEATURE_DMA_BUF, setup.expected.dmaBuf ?? 0],
      ] as const
    ) assertEquals(ask(edu, flags), expected, flags.toString(16));
    assertEquals(ask(edu, SET | power, 0, 7), "EINVAL");
  },
);

forEachBackend(
  "a VF token is set on a physical function, 16 bytes of it",
  async (setup) => {
    const pf = await setup.device("sriov0");
    const token = VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;
    assertEquals(ask(pf, PROBE | SET | token), 0);
    assertEquals(ask(pf, PROBE | GET | token), "EINVAL");
    assertEquals(ask(pf, SET | token, 15), "EINVAL");
    assertEquals(ask(pf, SET | token, 16), 0);
  },
);

forEachBackend(
  "a function is let sleep once, and woken as often as wanted",
  async (setup) => {
    const edu = await setup.device("edu0");
    const entry = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY;
    const exit = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
    const enter = (wakeup_eventfd: number) => {
      const layout = vfio_device_low_power_entry_with_wakeup;
      const feature = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP;
      const data = layout.alloc({ wakeup_eventfd });
      return answer(() => edu.feature(SET | feature, data));
    };
    assertEquals(ask(edu, SET | exit), 0);
    assertEquals(ask(edu, SET | entry), 0);
    assertEquals(ask(edu, SET | entry), "EINVAL");
    assertEquals(enter(setup.eventfd().fd), "EINVAL");
    assertEquals(edu.read(7, 0, 4).length, 4);
    assertEquals(ask(edu, SET | entry), "EINVAL");
    assertEquals(ask(edu, SET | exit), 0);
    assertEquals(ask(edu, SET | exit), 0);
    assertEquals(enter(-1), "EINVAL");
    assertEquals(enter(1_000_000), "EBADF");
    assertEquals(enter(edu.fd), "EINVAL");
    assertEquals(enter(setup.eventfd().fd), 0);
    assertEquals(ask(edu, SET | exit), 0);
  },
);

forEachBackend(
  "a dma-buf is made of whole pages of a BAR",
  async (setup) => {
    const edu = await setup.device("edu0");
    const layout = vfio_device_feature_dma_buf;
    const range = vfio_region_dma_range;
    const make = (
      values: Parameters<typeof layout.alloc>[0],
      ...ranges: (readonly [offset: bigint, length: bigint])[]
    ) => {
      const data = layout.alloc(
        { nr_ranges: ranges.length, open_flags: 0o2000002, ...values },
        ranges.length * range.size,
      );
      for (const [i, [offset, length]] of ranges.entries()) {
        range.encode(data, { offset, length }, layout.size + i * range.size);
      }
      return answer(() => {
        const feature = GET | VFIO_DEVICE_FEATURE_DMA_BUF;
        setup.kernel.close(edu.feature(feature, data));
      });
    };
    const { dmaBuf } = setup.expected;
    const expect = (answer: string | undefined) => dmaBuf ?? answer;
    const page = [0n, 4096n] as const;
    assertEquals(make({}, page), expect(undefined));
    assertEquals(make({}, page, [8192n, 4096n]), expect(undefined));
    assertEquals(make({}), expect("EINVAL"));
    assertEquals(make({ flags: 1 }, page), expect("EINVAL"));
    assertEquals(make({ region_index: 1 }, page), expect("ENODEV"));
    assertEquals(make({ region_index: 6 }, page), expect("ENODEV"));
    for (
      const wrong of [
        [0n, 0n],
        [1n, 4096n],
        [0n, 8n],
        [0x10_0000n, 4096n],
        [0n, 0x10_1000n],
      ] as const
    ) assertEquals(make({}, wrong), expect("EINVAL"), String(wrong));
  },
);

forEachBackend(
  "mtty has migration and a log, and no feature of vfio-pci",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const device = setup.mediatedFile(made.device);
    const numbers = Array.from({ length: 15 }, (_, i) => i)
      .filter((number) => ask(device, PROBE | number) === 0);
    assertEquals(numbers, [1, 2, 6, 7, 8, 9, 12]);
    const flags = new Uint8Array(8);
    assertEquals(device.feature(GET | VFIO_DEVICE_FEATURE_MIGRATION, flags), 0);
    assertEquals(flags[0], 7);
    const v2 = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
    assertEquals([ask(device, SET | v2), ask(device, GET | v2)], [0, "EINVAL"]);
  },
  SAMPLES,
);

forEachBackend(
  "a log of DMA takes ranges of whole pages that do not overlap",
  async (setup) => {
    await using made = await mediated(setup, "mtty-1");
    const device = setup.mediatedFile(made.device);
    const start = (
      page_size: bigint,
      ...ranges: (readonly [iova: bigint, length: bigint])[]
    ) => {
      const layout = vfio_device_feature_dma_logging_range;
      const list = new Uint8Array(Math.max(ranges.length, 1) * layout.size);
      for (const [i, [iova, length]] of ranges.entries()) {
        layout.encode(list, { iova, length }, i * layout.size);
      }
      const control = vfio_device_feature_dma_logging_control;
      const data = control.alloc({
        page_size,
        num_ranges: ranges.length,
        ranges: setup.kernel.addressOf(list),
      });
      const feature = SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
      const result = answer(() => {
        device.feature(feature, data);
        return control.decode(data).page_size;
      });
      list.fill(0);
      return result;
    };
    const page = [0x1000n, 0x1000n] as const;
    assertEquals(start(4096n, page), 4096n);
    // It begins anew.
    assertEquals(start(8192n, [0x2000n, 0x4000n]), 8192n);
    assertEquals(start(4096n), "EINVAL");
    assertEquals(start(4096n, ...Array(257).fill(page)), "E2BIG");
    assertEquals(start(4096n, [0x1001n, 0x1000n]), "EINVAL");
    assertEquals(start(4096n, [0x1000n, 0x1001n]), "EINVAL");
    assertEquals(start(4096n, page, page), "EINVAL");
    const last = (1n << 64n) - 0x1000n;
    assertEquals(start(4096n, [last, 0x1000n]), "EOVERFLOW");
    assertEquals(start(4096n, [last - 0x1000n, 0x1000n]), 4096n);

    const bitmap = new Uint8Array(8).fill(0x50);
    const report = (page_size: bigint, iova = 0n) => {
      const data = vfio_device_feature_dma_logging_report.alloc({
        iova,
        length: 0x2000n,
        page_size,
        bitmap: setup.kernel.addressOf(bitmap),
      });
      const feature = GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
      return answer(() => device.feature(feature, data));
    };
    assertEquals(report(4096n), 0);
    // Bits are set only.
    assert(bitmap.every((byte) => byte === 0x50));
    assertEquals(report(2048n), "EINVAL");
    assertEquals(report(12_288n), "EINVAL");
    assertEquals(report(4096n, last), "EOVERFLOW");
    const stop = SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
    assertEquals([ask(device, stop), ask(device, stop)], [0, 0]);
  },
  SAMPLES,
);
