/**
 * A program that executes itself while a device goes on: it hands its container,
 * its device and its memory to the next one, which tells the kernel where it has
 * the memory.
 *
 *     reexec.ts ADDRESS
 *     reexec.ts CONTAINER DEVICE MEMORY IOVA
 *
 * @module
 */
import { AddressSpace, Host, VfioDevice } from "../../../mod.ts";
import { F_SETFD } from "../../../lib/uapi/linux/fcntl.ts";
import {
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../../lib/uapi/linux/mman.ts";
import {
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_IOMMU_MAP_DMA,
  vfio_iommu_type1_dma_map,
} from "../../../lib/uapi/vfio/all.ts";
import { Edu, EDU_DMA_MASK } from "./edu.ts";

/** What the next program prints, as JSON. */
export interface Reexecuted {
  /** What is counted as locked for it before it knows of the memory, and then. */
  readonly locked: readonly [before: string, after: string];
  /** What the device has written where it was told by the next program. */
  readonly written: readonly number[];
  /** What the first program has left in the memory. */
  readonly left: number;
}

const SIZE = 8192;
const COPIED = 2048;
const BUFFER = 0x40000n;
const { kernel } = new Host();

/** Attaches, has the device fetch memory, and executes the next program. */
async function begin(address: string): Promise<void> {
  const space = new AddressSpace({ backend: "legacy" });
  const device = await VfioDevice.attach(address, space);
  const memory = space.allocate(SIZE, { memfd: true, dmaMask: EDU_DMA_MASK });
  memory.bytes.fill(0x5a);
  await new Edu(device).copyToDevice(memory.iova, COPIED);
  space.dropAddresses();
  const { fd } = memory;
  const container = openFile("/dev/vfio/vfio");
  const passed = [container, device.fd, fd!];
  // The library's descriptors are closed by an exec.
  for (const fd of passed) kernel.fcntl(fd, F_SETFD, 0);
  execute([
    ...[Deno.execPath(), "run", "-A", "--no-check", "--no-lock"],
    ...["--config", "deno.offline.json", import.meta.filename!],
    ...[...passed, memory.iova].map(String),
  ]);
}

function openFile(path: string): number {
  const directory = "/proc/self/fd";
  for (const { name } of Deno.readDirSync(directory)) {
    try {
      if (Deno.readLinkSync(`${directory}/${name}`) === path) {
        return Number(name);
      }
    } catch {
      continue; // the one through which the directory is read
    }
  }
  throw new Error(`${path} is not open`);
}

/** Replaces this program. */
function execute(command: readonly string[]): never {
  const words = command.map((word) => new TextEncoder().encode(`${word}\0`));
  const pointers = words.map((word) =>
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(word))
  );
  const { symbols } = Deno.dlopen("libc.so.6", {
    execv: { parameters: ["buffer", "buffer"], result: "i32" },
  });
  symbols.execv(words[0]!, new BigUint64Array([...pointers, 0n]));
  throw new Error(`Cannot execute ${command[0]}`);
}

/** Takes the memory over, and has the device write to it. */
function goOn(container: number, device: number, file: number, iova: bigint) {
  const before = locked();
  const protection = PROT_READ | PROT_WRITE;
  const memory = kernel.mmap(SIZE, protection, MAP_SHARED, file, 0n);
  kernel.ioctl(
    container,
    VFIO_IOMMU_MAP_DMA,
    vfio_iommu_type1_dma_map.alloc({
      flags: VFIO_DMA_MAP_FLAG_VADDR,
      vaddr: memory.address,
      iova,
      size: BigInt(SIZE),
    }),
  );
  const bytes = new Uint8Array(memory.buffer);
  const left = bytes[SIZE - 1]!;
  bytes.fill(0);
  write(device, 0x80n, BUFFER);
  write(device, 0x88n, iova + 4096n);
  write(device, 0x90n, BigInt(COPIED));
  write(device, 0x98n, 3n);
  const command = new Uint32Array(1);
  do kernel.pread(device, new Uint8Array(command.buffer), 0x98n); while (
    (command[0]! & 1) !== 0
  );
  const result: Reexecuted = {
    locked: [before, locked()],
    written: [...new Set(bytes.subarray(4096, 4096 + COPIED))],
    left,
  };
  console.log(JSON.stringify(result));
}

/** Writes a register: BAR 0 is where the device's file begins. */
function write(device: number, register: bigint, value: bigint): void {
  const bytes = new Uint8Array(new BigUint64Array([value]).buffer);
  kernel.pwrite(device, bytes, register);
}

function locked(): string {
  return /^VmLck:\s*(.*)$/m.exec(
    Deno.readTextFileSync("/proc/self/status"),
  )![1]!;
}

if (import.meta.main) {
  const [first, device, file, iova] = Deno.args;
  if (device === undefined) await begin(first!);
  else goOn(Number(first), Number(device), Number(file), BigInt(iova!));
}
