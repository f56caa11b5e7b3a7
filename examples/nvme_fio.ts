/**
 * Measures a userspace NVMe driver as fio measures a disk. With `--rw write` or
 * `randwrite` it OVERWRITES the disk. Nothing may use the disk meanwhile.
 *
 *     deno run --allow-ffi examples/nvme_fio.ts 0000:01:00.0 --rw randread \
 *       --bs 4096 --iodepth 32 --runtime 10 [--wait poll] [--json]
 *
 * @module
 */
import { parseArgs } from "node:util";
// In a script of yours: from "https://HOST/PATH/mod.ts"
import { AddressSpace, Host, VfioDevice } from "../mod.ts";
import { NvmeController } from "./nvme/controller.ts";
import { measureAwaited, measurePolled } from "./nvme/measure/load.ts";
import type { Wait } from "./nvme/waiting.ts";

const { values, positionals: [address] } = parseArgs({
  allowPositionals: true,
  options: {
    rw: { type: "string", default: "randread" },
    bs: { type: "string", default: "4096" },
    iodepth: { type: "string", default: "1" },
    runtime: { type: "string", default: "10" },
    ramp_time: { type: "string", default: "1" },
    // "loop" polls without promises; the others are how a queue waits.
    wait: { type: "string", default: "loop" },
    json: { type: "boolean", default: false },
  },
});
const load = {
  rw: values.rw,
  bs: Number(values.bs),
  iodepth: Number(values.iodepth),
  runtime: Number(values.runtime),
  ramp: Number(values.ramp_time),
};
if (!/^(rand)?(read|write)$/.test(load.rw)) {
  throw new TypeError(
    `Cannot measure ${load.rw}: expected [rand]read or write`,
  );
}

await using taken = await new Host().take(address!);
await using space = new AddressSpace();
await using device = await VfioDevice.attach(taken.device, space);
const isLoop = values.wait === "loop";
const wait = isLoop ? "poll" : values.wait as Wait;
await using controller = await NvmeController.start(device, {
  interrupts: wait === "poll" ? 0 : 1,
});
await using disk = await controller.open(1, { depth: load.iodepth, wait });
const { commands, time, latency } = isLoop
  ? measurePolled(controller, space, disk, load)
  : await measureAwaited(space, disk, load);

const iops = commands * 1e9 / time;
const lat_ns = latency.summary();
if (values.json) {
  const kind = load.rw.endsWith("write") ? "write" : "read";
  const result = {
    iops,
    bw_bytes: iops * load.bs,
    total_ios: commands,
    runtime: time / 1e6,
    lat_ns,
  };
  const options = { ...load, wait: values.wait };
  console.log(JSON.stringify({ jobs: [{ options, [kind]: result }] }));
} else {
  const percentile = (percent: number) =>
    `${(latency.percentile(percent) / 1000).toFixed(1)} µs`;
  console.log(
    `${load.rw} of ${load.bs} bytes, ${load.iodepth} at once, by ${values.wait}`,
  );
  console.log(`  ${Math.round(iops)} a second`);
  console.log(
    `  half within ${percentile(50)}, 99 % within ${percentile(99)}, ` +
      `99.9 % within ${percentile(99.9)}`,
  );
}
