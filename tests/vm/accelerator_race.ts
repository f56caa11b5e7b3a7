/**
 * A race that shows whether KVM is of use: a small guest runs twice at the same
 * time, under KVM and by emulation, and the first to end wins.
 *
 * It is not enough that a guest runs under KVM: where KVM itself emulates each
 * instruction, as in some virtual machines, a guest runs a thousand times
 * slower than by QEMU's emulation, and a kernel never prints its first line. A
 * race needs no time limit that a busy machine could exceed, as that slows
 * both.
 *
 * @module
 */
import { join } from "@std/path";
import { lines } from "./command.ts";
import type { Qemu } from "./newer_qemu.ts";

/** How a machine is run: by the host's processor, or by emulation. */
export type Accelerator = "kvm" | "tcg";

/**
 * What an emulated processor does slowly, so that a guest is a quarter faster
 * without: wide registers, copies of a byte at a time, and guards of memory that
 * translate it anew.
 */
const DEAR = [
  ...["avx", "avx2", "fma", "f16c", "mpx", "xsave"],
  ...["erms", "fsrm"],
  ...["pku", "smap", "smep", "umip", "pcid", "fsgsbase"],
];

/**
 * The processor that QEMU gives a guest. The emulated one has SVM, so that the
 * guest has a `/dev/kvm` itself. With the host's processor the guest has one
 * only on AMD with nested KVM. A test that needs one is left out elsewhere.
 */
export const PROCESSORS: Readonly<Record<Accelerator, string>> = {
  kvm: "host",
  tcg: ["max", ...DEAR.map((feature) => `-${feature}`)].join(","),
};

/** The result of a race. */
export interface Verdict {
  /** How to run machines. */
  readonly accelerator: Accelerator;
  /** Why, in a few words. */
  readonly why: string;
  /** Whether the next race would have the same result. */
  readonly lasting: boolean;
}

/** The time after which nobody wins, in milliseconds. */
const LIMIT = 30_000;

/** QEMU's exit code when the guest writes 16 to the exit port. */
const GUEST_ENDED = 16 << 1 | 1;

/**
 * The guest enters 64-bit mode with paging, as a kernel does, and fills 64 KiB
 * 12,288 times. That takes a processor a twentieth of a second, and emulation
 * three seconds.
 */
// deno-fmt-ignore
const CODE = [
  // 16-bit: page tables for the first 2 MiB
  0x31, 0xc0,                                     // xor ax, ax
  0x8e, 0xd8,                                     // mov ds, ax
  0xc7, 0x06, 0x00, 0x10, 0x03, 0x20,             // mov word [0x1000], 0x2003
  0xc7, 0x06, 0x00, 0x20, 0x03, 0x30,             // mov word [0x2000], 0x3003
  0xc7, 0x06, 0x00, 0x30, 0x83, 0x00,             // mov word [0x3000], 0x83
  0x66, 0xb8, 0x00, 0x10, 0x00, 0x00,             // mov eax, 0x1000
  0x0f, 0x22, 0xd8,                               // mov cr3, eax
  // PAE, long mode, then protection and paging
  0x66, 0xb8, 0x20, 0x00, 0x00, 0x00,             // mov eax, 0x20
  0x0f, 0x22, 0xe0,                               // mov cr4, eax
  0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,             // mov ecx, 0xc0000080
  0x0f, 0x32,                                     // rdmsr
  0x80, 0xcc, 0x01,                               // or ah, 1
  0x0f, 0x30,                                     // wrmsr
  0x2e, 0x66, 0x0f, 0x01, 0x16, 0x6f, 0x00,       // lgdt cs:[gdtr]
  0x66, 0xb8, 0x11, 0x00, 0x00, 0x80,             // mov eax, 0x80000011
  0x0f, 0x22, 0xc0,                               // mov cr0, eax
  0x66, 0xea, 0x4d, 0x00, 0x0f, 0x00, 0x08, 0x00, // jmp 8:long
  // long, 64-bit: the work
  0x66, 0xbb, 0x00, 0x30,                         // mov bx, 12288
  0xbf, 0x00, 0x00, 0x01, 0x00,                   // again: mov edi, 0x10000
  0x89, 0xf9,                                     // mov ecx, edi
  0xf3, 0xaa,                                     // rep stosb
  0x66, 0x83, 0xeb, 0x01,                         // sub bx, 1
  0x75, 0xf1,                                     // jnz again
  0xb0, 0x10,                                     // mov al, 16
  0xe6, 0xf4,                                     // out 0xf4, al
  0xf4,                                           // halt: hlt
  0xeb, 0xfd,                                     // jmp halt
  // the second entry of the descriptor table: 64-bit code
  0x00, 0x00, 0x00, 0x00, 0x00, 0x9b, 0x20, 0x00,
  // gdtr: its limit and its address
  0x0f, 0x00, 0x5f, 0x00, 0x0f, 0x00,
];

/** Where a processor starts, from the start of the last 64 KiB. */
const RESET = 0xfff0;

/** jmp 0xf000:0, where the code is. */
const RESET_CODE = [0xea, 0x00, 0x00, 0x00, 0xf0];

/** How one of the two guests ended. */
interface End {
  /** Whether it ended by itself. */
  readonly ran: boolean;
  /** How QEMU ended, or its last message. */
  readonly how: string;
}

/**
 * Runs the race.
 *
 * @param qemu The QEMU to run it with.
 * @returns How to run machines, and why.
 */
export async function race(qemu: Qemu): Promise<Verdict> {
  const dir = await Deno.makeTempDir({ prefix: "passthru-race-" });
  const over = new AbortController();
  const limit = setTimeout(() => over.abort(), LIMIT);
  const firmware = join(dir, "firmware");
  await Deno.writeFile(firmware, firmwareImage());
  const kvm = runGuest(qemu, "kvm", firmware, over.signal);
  const tcg = runGuest(qemu, "tcg", firmware, over.signal);
  try {
    // A failed emulation decides nothing: KVM may work.
    return await Promise.any([
      kvm.then((end) => ofKvm(end, over.signal.aborted)),
      tcg.then(ofEmulation),
    ]);
  } finally {
    clearTimeout(limit);
    over.abort();
    await Promise.all([kvm, tcg]);
    await Deno.remove(dir, { recursive: true });
  }
}

function ofKvm({ ran, how }: End, late: boolean): Verdict {
  if (ran) {
    const why = "a small guest was slower by emulation";
    return { accelerator: "kvm", why, lasting: true };
  }
  const why = late
    ? `a guest did not end within ${LIMIT / 1000} s under KVM`
    : `a guest does not run under KVM: ${how}`;
  return { accelerator: "tcg", why, lasting: false };
}

function ofEmulation({ ran, how }: End): Verdict {
  if (!ran) throw new Error(how);
  const why = "a small guest was slower under KVM";
  return { accelerator: "tcg", why, lasting: true };
}

function firmwareImage(): Uint8Array {
  const image = new Uint8Array(0x10000);
  image.set(CODE);
  image.set(RESET_CODE, RESET);
  return image;
}

/** Runs one of the two guests until it ends, or until the race is over. */
async function runGuest(
  qemu: Qemu,
  accelerator: Accelerator,
  firmware: string,
  over: AbortSignal,
): Promise<End> {
  const child = new Deno.Command("setpriv", {
    args: [
      ...["--pdeathsig", "KILL", qemu.program, ...qemu.args],
      ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
      ...["-machine", "q35", "-accel", accelerator],
      ...["-cpu", PROCESSORS[accelerator], "-m", "16", "-bios", firmware],
      ...["-device", "isa-debug-exit,iobase=0xf4,iosize=1"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const end = () => child.kill("SIGKILL");
  if (over.aborted) end();
  over.addEventListener("abort", end);
  const messages = await Array.fromAsync(lines(child.stderr));
  const { code, signal } = await child.status;
  over.removeEventListener("abort", end);
  return {
    ran: code === GUEST_ENDED,
    how: messages.at(-1) ?? `QEMU ended with ${signal ?? `exit code ${code}`}`,
  };
}
