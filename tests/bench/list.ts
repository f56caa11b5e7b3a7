/**
 * Compares `passthru list` of 1,024 functions with `lspci -nnk` and `driverctl
 * list-devices`. Run it as root:
 *
 *     deno run -A scripts/dev/run.ts tests/bench/list.ts
 *
 * The functions are artificial: a tree in place of `/sys/bus/pci`, in a
 * separate mount namespace. All three programs read it in turn. What is compared
 * is their processor time.
 *
 * @module
 */
import { join } from "@std/path";
import { chooseConfig } from "../../scripts/dev/std.ts";
import { installPackages } from "../vm/debian.ts";
import { median } from "./compare.ts";
import { processorTime } from "./processor_time.ts";

/** How many functions. */
const FUNCTIONS = 1024;
/** How often each program is run. driverctl takes seconds. */
const ROUNDS = 15;
const SLOW_ROUNDS = 3;
/**
 * The most time that `list` may take, in times of lspci, and the least time of
 * driverctl, in times of `list`.
 */
const MOST_OF_LSPCI = 1;
const LEAST_OF_DRIVERCTL = 10;

/** The kinds of functions: ids that pci.ids names, a class and a driver. */
const KINDS = [
  ["8086", "10d3", "020000", "e1000e"],
  ["8086", "1572", "020000", "i40e"],
  ["15b3", "1017", "020000", "mlx5_core"],
  ["10de", "1eb8", "030200", "nvidia"],
  ["144d", "a808", "010802", "nvme"],
  ["1b36", "000c", "060400", "pcieport"],
  ["8086", "154c", "020000", "vfio-pci"],
  ["1af4", "1041", "020000", undefined],
] as const;

/** Makes the directory of a function. */
async function makeFunction(root: string, index: number): Promise<void> {
  const digits = (value: number, length: number) =>
    value.toString(16).padStart(length, "0");
  const address = `0000:${digits(index >> 8, 2)}:` +
    `${digits(index >> 3 & 0x1f, 2)}.${index & 7}`;
  const [vendor, device, code, driver] = KINDS[index % KINDS.length]!;
  const modalias = `pci:v0000${vendor}d0000${device}`.toUpperCase() +
    "sv00000000sd00000000bc00sc00i00";
  const path = join(root, "real", address);
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint16(0, parseInt(vendor, 16), true);
  view.setUint16(2, parseInt(device, 16), true);
  view.setUint32(8, parseInt(code, 16) << 8, true);
  const files: Record<string, string> = {
    vendor: `0x${vendor}\n`,
    device: `0x${device}\n`,
    subsystem_vendor: "0x0000\n",
    subsystem_device: "0x0000\n",
    class: `0x${code}\n`,
    revision: "0x00\n",
    irq: "0\n",
    resource: "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
      .repeat(13),
    driver_override: "(null)\n",
    modalias: `${modalias}\n`,
    uevent: (driver === undefined ? "" : `DRIVER=${driver}\n`) +
      `PCI_CLASS=${code.replace(/^0/, "")}\n` +
      `PCI_ID=${vendor}:${device}\n`.toUpperCase() +
      "PCI_SUBSYS_ID=0000:0000\n" +
      `PCI_SLOT_NAME=${address}\nMODALIAS=${modalias}\n`,
  };
  await Deno.mkdir(path);
  await Promise.all([
    Deno.writeFile(join(path, "config"), config),
    ...Object.entries(files).map(([name, text]) =>
      Deno.writeTextFile(join(path, name), text)
    ),
    Deno.symlink(`../../groups/${index}`, join(path, "iommu_group")),
    Deno.symlink(`../real/${address}`, join(root, "devices", address)),
    ...driver === undefined
      ? []
      : [Deno.symlink(`../../drivers/${driver}`, join(path, "driver"))],
  ]);
}

/** Makes the tree for `/sys/bus/pci`. */
async function makeTree(root: string): Promise<void> {
  for (const name of ["devices", "real", "drivers", "groups"]) {
    await Deno.mkdir(join(root, name));
  }
  for (const [, , , driver] of KINDS) {
    if (driver !== undefined) await Deno.mkdir(join(root, "drivers", driver));
  }
  for (let index = 0; index < FUNCTIONS; index++) {
    await makeFunction(root, index);
  }
}

/**
 * Runs a command, checks how many functions it lists, and returns its processor
 * time in milliseconds.
 */
async function timed(command: readonly string[]): Promise<number> {
  const [program, ...args] = command;
  let text = "";
  const time = await processorTime(async () => {
    const { stdout, success } = await new Deno.Command(program!, {
      args,
      stdin: "null",
      stderr: "null",
    }).output();
    if (success) text = new TextDecoder().decode(stdout);
  });
  const lines = text.match(/^[\da-f:]+\.\d\b/gm)?.length ?? 0;
  if (lines >= FUNCTIONS) return time / 1e6;
  throw new Error(`${program} listed ${lines} functions of ${FUNCTIONS}`);
}

/** Runs the commands in turn, inside the mount namespace. */
async function measure(): Promise<boolean> {
  const commands = {
    "lspci -nnk": ["lspci", "-nnk"],
    "passthru list": [
      ...[Deno.execPath(), "run", "--allow-ffi"],
      ...["--config", await chooseConfig(), "scripts/passthru.ts", "list"],
    ],
    "driverctl list-devices": ["driverctl", "list-devices"],
  };
  const times = new Map<string, number[]>();
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, command] of Object.entries(commands)) {
      if (name.startsWith("driverctl") && round > SLOW_ROUNDS) continue;
      const time = await timed(command);
      // The first round fills the caches.
      if (round > 0) times.set(name, [...times.get(name) ?? [], time]);
    }
  }
  for (const [name, all] of times) {
    console.log(
      `${name.padEnd(24)}${median(all).toFixed(0).padStart(6)} ms, ` +
        `at best ${Math.min(...all).toFixed(0)} ms`,
    );
  }
  const [lspci, ours, driverctl] = Object.keys(commands)
    .map((name) => median(times.get(name)!)) as [number, number, number];
  const ofLspci = ours / lspci;
  const ofDriverctl = driverctl / ours;
  const good = ofLspci <= MOST_OF_LSPCI && ofDriverctl >= LEAST_OF_DRIVERCTL;
  console.log(
    `passthru list takes ${ofLspci.toFixed(2)} times as long as lspci ` +
      `(at most ${MOST_OF_LSPCI}), driverctl ${ofDriverctl.toFixed(1)} times ` +
      `as long as passthru (at least ${LEAST_OF_DRIVERCTL}): ` +
      (good ? "good" : "missed"),
  );
  return good;
}

/** Makes the tree, and measures in a namespace where it replaces the host's. */
async function main(): Promise<number> {
  await installPackages(["driverctl", "pciutils", "pci.ids"]);
  const root = await Deno.makeTempDir();
  try {
    await makeTree(root);
    const script = 'mount --bind "$1" /sys/bus/pci && shift && exec "$@"';
    const { code } = await new Deno.Command("unshare", {
      stdout: "inherit",
      stderr: "inherit",
      args: [
        ...["--mount", "sh", "-c", script, "sh", root],
        ...[Deno.execPath(), "run", "-A", "--config", await chooseConfig()],
        ...[import.meta.url, "--measure"],
      ],
    }).output();
    return code;
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

if (import.meta.main) {
  const inside = Deno.args[0] === "--measure";
  Deno.exit(inside ? await measure() ? 0 : 1 : await main());
}
