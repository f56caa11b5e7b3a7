/**
 * Other NVMe drivers: the kernel's, which `fio` uses, and libvfn with its
 * program `perf`.
 *
 * @module
 */
import { join } from "@std/path";
import { run } from "../vm/command.ts";
import { busyPart, parseTimes, PRINT_TIMES } from "./busy_time.ts";

/** What a driver does in a measurement. */
export interface Reads {
  /** The controller's address. */
  readonly address: string;
  /** The bytes of a read: one block. */
  readonly bytes: number;
  /** How many reads are under way. */
  readonly depth: number;
}

/** What a read takes, in nanoseconds. */
export interface Cost {
  /** Time that passes from one to the next. */
  readonly time: number;
  /** Time of the machine's processor. */
  readonly processor: number;
}

/** For how long `fio` and `perf` read, in seconds. */
const RUNTIME = 1;

/** How `fio` is told to use the kernel's driver. */
export const ENGINES: Readonly<Record<string, readonly string[]>> = {
  "libaio": ["--ioengine=libaio"],
  "io_uring": ["--ioengine=io_uring", "--fixedbufs", "--registerfiles"],
  "io_uring polled": [
    ...["--ioengine=io_uring", "--fixedbufs", "--registerfiles"],
    "--hipri",
  ],
};

/** The block device that the kernel's driver makes of a controller. */
async function blockDevice(address: string): Promise<string> {
  for (let tries = 0; tries < 500; tries++) {
    for (const { name } of Deno.readDirSync("/sys/block")) {
      if (!/^nvme\d+n1$/.test(name)) continue;
      const target = Deno.realPathSync(`/sys/block/${name}`);
      if (target.includes(`/${address}/`)) return `/dev/${name}`;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`The kernel's driver makes no block device of ${address}`);
}

/**
 * Reads by the kernel's driver.
 *
 * @param engine A name of {@linkcode ENGINES}.
 * @param reads What is read.
 */
export async function readByFio(
  engine: string,
  { address, bytes, depth }: Reads,
): Promise<Cost> {
  const file = await blockDevice(address);
  const cwd = await Deno.makeTempDir();
  const text = await run([
    ...["fio", "--name=job", `--filename=${file}`, ...ENGINES[engine]!],
    ...["--rw=randread", "--norandommap", "--direct=1", `--bs=${bytes}`],
    // As many at once as there is room for, in one call.
    ...[`--iodepth=${depth}`, `--iodepth_batch=${depth}`],
    `--iodepth_batch_complete_min=1`,
    `--iodepth_batch_complete_max=${depth}`,
    ...["--thread", "--time_based", `--runtime=${RUNTIME}`],
    // One stamp for all that is done at once, as the others do.
    ...["--gtod_reduce=1", "--output-format=json"],
    ...[`--exec_prerun=${PRINT_TIMES}`, `--exec_postrun=${PRINT_TIMES}`],
  ], { cwd });
  const { jobs: [job] } = JSON.parse(text.slice(text.indexOf("{")));
  if (job.error !== 0) throw new Error(`fio failed with error ${job.error}`);
  const [before, after] = ["prerun", "postrun"].map((name) =>
    parseTimes(Deno.readTextFileSync(join(cwd, `job.${name}.txt`)))
  );
  await Deno.remove(cwd, { recursive: true });
  const time = job.read.runtime * 1e6 / job.read.total_ios;
  return { time, processor: time * busyPart(before!, after!) };
}

/**
 * Reads by libvfn. The controller's driver is `vfio-pci`.
 *
 * @param program Where libvfn's `perf` is.
 * @param reads What is read. Its blocks have as many bytes.
 */
export async function readByLibvfn(
  program: string,
  { address, depth }: Reads,
): Promise<Cost> {
  const text = await run([
    ...[program, "--device", address, "--nsid", "1", "--warmup", "1"],
    ...["--runtime", `${RUNTIME}`, "--io-pattern", "randread"],
    ...["--io-depth", `${depth}`],
  ]);
  const time = 1e9 / Number(/^ *([\d.]+)/.exec(text.split("\n").at(-1)!)![1]);
  // It never sleeps.
  return { time, processor: time };
}
