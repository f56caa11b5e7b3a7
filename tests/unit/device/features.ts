import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { VfioError } from "../../../mod.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import type { Ioctl } from "../../../lib/uapi/ioctl.ts";
import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_SET_MASTER,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
} from "../../../lib/uapi/vfio/feature.ts";
import {
  vfio_device_feature,
  VFIO_DEVICE_FEATURE_MASK,
} from "../../../lib/uapi/vfio/feature_ioctl.ts";
import { failure, refused } from "../../failures.ts";
import { movable, SCRATCHPAD } from "./movable.ts";

const TOKEN = "00112233-4455-6677-8899-aabbccddeeff";

Deno.test("features.list() returns the features of the driver and the kernel", async () => {
  await using new_ = await movable();
  const power = [
    "low-power-entry",
    "low-power-entry-with-wakeup",
    "low-power-exit",
  ];
  assertEquals(new_.features.list() as string[], [
    "migration",
    "mig-device-state",
    ...power,
    "dma-logging-start",
    "dma-logging-stop",
    "dma-logging-report",
    "mig-data-size",
    "dma-buf",
    "mig-precopy-infov2",
  ]);
  assertEquals(
    new_.fixedFeatures.list() as string[],
    ["pci-vf-token", ...power, "dma-buf"],
  );
  await using old = await movable(undefined, "6.1.0-50-amd64");
  assertEquals(
    old.fixedFeatures.list() as string[],
    ["pci-vf-token", ...power],
  );
});

Deno.test("features.supports() tells reading from setting", async () => {
  await using setup = await movable();
  const { features } = setup;
  assertEquals(features.supports("migration"), true);
  assertEquals(features.supports("migration", "get"), true);
  assertEquals(features.supports("migration", "set"), false);
  assertEquals(features.supports("mig-device-state", "set"), true);
  assertEquals(features.supports(99), false);
  assertThrows(() => features.supports("moving" as never), TypeError);
  for (const number of [-1, 0.5, 65_536]) {
    assertThrows(() => features.supports(number), RangeError);
  }
  await setup.one.detach();
  failure("DETACHED", () => features.supports("migration"));
});

Deno.test("features.get() and set() take the numbers of a newer kernel", async () => {
  await using setup = await movable();
  const { features } = setup;
  const flags = new Uint8Array(8);
  assertEquals(await features.get(1, flags), 0);
  assertEquals(flags[0], 7);
  for (const ask of [features.get(99, flags), features.set(99)]) {
    await refused("NOT_SUPPORTED", () => ask);
  }
  await refused("KERNEL", () => features.get("migration", new Uint8Array(4)));
});

Deno.test("features.setVfToken() hands the UUID's bytes to the kernel", async () => {
  const sent: Uint8Array[] = [];
  await using setup = await movable((kernel) =>
    intercept(kernel, ({ method, args }, proceed) => {
      if (method === "ioctl" && (args[2] as Uint8Array)?.length === 24) {
        sent.push((args[2] as Uint8Array).slice(8));
      }
      return proceed();
    })
  );
  sent.length = 0;
  setup.fixedFeatures.setVfToken(TOKEN);
  assertEquals(sent.map((bytes) => bytes.toHex()), [TOKEN.replaceAll("-", "")]);
  failure("NOT_SUPPORTED", () => setup.features.setVfToken(TOKEN));
  assertThrows(() => setup.fixedFeatures.setVfToken("0011"), TypeError);
});

Deno.test("features.sleep() lets a device sleep until it is disposed of", async () => {
  await using setup = await movable();
  const { one } = setup;
  {
    await using sleep = await setup.features.sleep();
    await refused("KERNEL", () => setup.features.sleep());
    // An access wakes it for its duration only.
    one.region(0).read32(0);
    await assertRejects(() => setup.features.sleep(), VfioError);
    await assertRejects(() => sleep.woken(), TypeError);
  }
  await using _again = await setup.features.sleep();
});

Deno.test("features.sleep() tells when something has woken the device", async () => {
  await using setup = await movable();
  const { one } = setup;
  const before = setup.host.kernel as unknown as {
    files: Map<number, unknown>;
  };
  const open = before.files.size;
  const sleep = await setup.features.sleep({ wakeup: true });
  let woken = false;
  const waiting = sleep.woken().then(() => woken = true);
  await Promise.resolve();
  assertEquals(woken, false);
  one.region(0).read32(0);
  await waiting;
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  assertEquals(await assertRejects(() => sleep.woken({ signal })), reason);
  await sleep.wake();
  await sleep.wake();
  assertEquals(before.files.size, open);
});

Deno.test("features.sleep() closes mapped registers until the device is woken", async () => {
  await using setup = await movable();
  const { one, features } = setup;
  const registers = one.region(0).map();
  {
    await using _sleep = await features.sleep();
    failure("INACCESSIBLE", () => registers.read32(0));
    const later = one.region(0).map();
    failure("INACCESSIBLE", () => later.write32(0, 0));
    await refused("KERNEL", () => features.sleep());
    failure("INACCESSIBLE", () => registers.read32(0));
  }
  registers.read32(0);
  const sleep = await features.sleep({ wakeup: true });
  const woken = sleep.woken();
  one.region(0).read32(0);
  await woken;
  registers.read32(0);
  await sleep.wake();
});

Deno.test("features.sleep() ends with a detach", async () => {
  await using setup = await movable();
  const sleep = await setup.features.sleep({ wakeup: true });
  await setup.one.detach();
  await sleep.wake();
  await assertRejects(() => sleep.woken(), VfioError);
});

Deno.test("features.startDmaLog() reports the pages that a device writes, once", async () => {
  await using setup = await movable();
  const { one, space } = setup;
  using memory = space.allocate(32 * 4096);
  const range = { iova: memory.iova, size: BigInt(memory.size) };
  const log = await setup.features.startDmaLog([range]);
  assertEquals(log.pageSize, 4096);
  one.setBusMaster(true);
  const registers = one.region(0);
  const write = (page: number, bytes: number) => {
    registers.write64(
      SCRATCHPAD.dmaTarget,
      memory.iova + BigInt(page * 4096),
    );
    registers.write32(SCRATCHPAD.dmaCount, bytes);
    registers.write32(SCRATCHPAD.run, 1);
  };
  write(1, 8);
  write(9, 4097);
  assertEquals(await log.report(range), Uint8Array.of(2, 6, 0, 0));
  assertEquals(await log.report(range), new Uint8Array(4));
  write(31, 1);
  const last = { iova: memory.iova + 16n * 4096n, size: 16n * 4096n };
  assertEquals(await log.report(last, 8192), Uint8Array.of(0x80));
  write(0, 1);
  await log.stop();
  await log.stop();
  await using again = await setup.features.startDmaLog([range]);
  assertEquals(await again.report(range), new Uint8Array(4));
});

Deno.test("features.startDmaLog() refuses ranges before it asks", async () => {
  await using setup = await movable();
  const { features } = setup;
  const page = { iova: 0x1000n, size: 0x1000n };
  for (
    const [ranges, pageSize] of [
      [[], 4096],
      [Array(257).fill(page), 4096],
      [[{ iova: 0x1001n, size: 0x1000n }], 4096],
      [[{ iova: 0x1000n, size: 0x800n }], 4096],
      [[{ iova: 0n, size: 0n }], 4096],
      [[{ iova: (1n << 64n) - 0x1000n, size: 0x1000n }], 4096],
      [[page], 3000],
      [[page], 0],
    ] as const
  ) {
    await assertRejects(
      () => features.startDmaLog(ranges, { pageSize }),
      RangeError,
    );
  }
  await refused("KERNEL", () => features.startDmaLog([page, page]));
  await using log = await features.startDmaLog([page]);
  await assertRejects(() => log.report(page, 2048), RangeError);
  await refused(
    "NOT_SUPPORTED",
    () => setup.fixedFeatures.startDmaLog([page]),
  );
});

Deno.test("region.exportDmaBuf() makes a descriptor of whole pages of a BAR", async () => {
  await using setup = await movable();
  const region = setup.fixed.region(0);
  using all = await region.exportDmaBuf();
  using part = await region.exportDmaBuf(
    { offset: 0x1000, size: 0x1000 },
    { offset: 0x3000, size: 0x1000 },
  );
  assertEquals(all.number === part.number, false);
  for (const [offset, size] of [[1, 4096], [0, 0], [0x4000, 4096], [0, 8]]) {
    await assertRejects(
      () => region.exportDmaBuf({ offset: offset!, size: size! }),
      RangeError,
    );
  }
  const config = setup.fixed.config;
  await refused("NOT_SUPPORTED", () => config.exportDmaBuf());
  await using old = await movable(undefined, "6.12.0");
  await refused(
    "NOT_SUPPORTED",
    () => old.fixed.region(0).exportDmaBuf(),
  );
});

/** A device whose kernel answers one feature. */
function answering(feature: number, answer: (data: Uint8Array) => void) {
  return movable((kernel) =>
    intercept(kernel, ({ method, args }, proceed) => {
      const argument = args[2];
      if (
        method !== "ioctl" || (args[1] as Ioctl).name !== "VFIO_DEVICE_FEATURE"
      ) return proceed();
      const { flags } = vfio_device_feature.decode(argument as Uint8Array);
      if ((flags & VFIO_DEVICE_FEATURE_MASK) !== feature) return proceed();
      answer((argument as Uint8Array).subarray(8));
      return 0;
    })
  );
}

Deno.test("features.setBusMaster() asks the kernel for a device without config space", async () => {
  const asked: number[] = [];
  await using setup = await answering(
    VFIO_DEVICE_FEATURE_BUS_MASTER,
    (data) => asked.push(data[0]!),
  );
  setup.features.setBusMaster(true);
  setup.features.setBusMaster(false);
  assertEquals(asked, [VFIO_DEVICE_FEATURE_SET_MASTER, 0]);
  await using pci = await movable();
  failure("NOT_SUPPORTED", () => pci.features.setBusMaster(true));
});

Deno.test("features.zpciError() returns nothing where there was no error", async () => {
  let error: string | undefined = "ENOMSG";
  await using setup = await answering(VFIO_DEVICE_FEATURE_ZPCI_ERROR, () => {
    if (error !== undefined) throw new KernelError(errnoNumber(error), "ioctl");
  });
  const { features } = setup;
  assertEquals(features.zpciError(), undefined);
  error = undefined;
  assertEquals(features.zpciError()?.length, 4096);
  error = "ENOTTY";
  failure("NOT_SUPPORTED", () => features.zpciError());
});
