/**
 * Machine code for what cannot be done by calling functions of libc.
 *
 * - errno belongs to a thread, so it is lost when Deno makes a call on another
 *   one. `call` makes a system call and returns what the kernel returned: the
 *   result, or the negative errno.
 * - A call that is stuck in the kernel keeps the process from ending, as does
 *   any of its threads. `child` forks, and the child makes the call.
 * - Deno waits for a descriptor on one thread each. `watch` is one thread for
 *   all descriptors.
 *
 * Nothing but registers and the memory of {@linkcode CHILD_CALL} is used
 * between the fork and the end of the child: libc's own state is another
 * thread's at that time.
 *
 * @module
 */

import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "../../uapi/linux/mman.ts";
import { lazily } from "./library.ts";
import { memory } from "./memory.ts";

const protection = lazily({
  mprotect: {
    parameters: [
      "pointer", // void *addr
      "usize", // size_t len
      "i32", // int prot
    ],
    result: "i32",
  },
});

/** The routines that a processor architecture has. */
interface Routines {
  /** `isize call(usize number, usize a, usize b, usize c, usize d, usize e)` */
  readonly call: readonly string[];
  /** `int child(struct child_call *)`: returns the child's process id. */
  readonly child: readonly string[];
  /** `void *watch(struct watch *)`: the start routine of a thread. */
  readonly watch: readonly string[];
}

/** Bytes in hexadecimal, an instruction a line. */
const ROUTINES: Record<typeof Deno.build.arch, Routines> = {
  x86_64: {
    call: [
      "4889f8", // mov rax, rdi
      "4889f7", // mov rdi, rsi
      "4889d6", // mov rsi, rdx
      "4889ca", // mov rdx, rcx
      "4d89c2", // mov r10, r8
      "4d89c8", // mov r8, r9
      "0f05", // syscall
      "c3", // ret
    ],
    child: [
      "53", // push rbx
      "4889fb", // mov rbx, rdi
      "b838000000", // mov eax, 56: clone
      "bf11000000", // mov edi, 17
      "31f6", // xor esi, esi
      "31d2", // xor edx, edx
      "4531d2", // xor r10d, r10d
      "4531c0", // xor r8d, r8d
      "0f05", // syscall
      "4885c0", // test rax, rax
      "0f8592000000", // jne 3f
      "b80e000000", // mov eax, 14: rt_sigprocmask
      "bf02000000", // mov edi, 2
      "488d7330", // lea rsi, [rbx+48]
      "31d2", // xor edx, edx
      "41ba08000000", // mov r10d, 8
      "0f05", // syscall
      "b89d000000", // mov eax, 157: prctl
      "bf0f000000", // mov edi, 15
      "488d7338", // lea rsi, [rbx+56]
      "0f05", // syscall
      "b870000000", // mov eax, 112: setsid
      "0f05", // syscall
      "b824010000", // mov eax, 292: dup3
      "8b7b08", // mov edi, [rbx+8]
      "31f6", // xor esi, esi
      "31d2", // xor edx, edx
      "0f05", // syscall
      "b8b4010000", // mov eax, 436: close_range
      "bf01000000", // mov edi, 1
      "beffffffff", // mov esi, -1
      "31d2", // xor edx, edx
      "0f05", // syscall
      "85c0", // test eax, eax
      "741c", // je 2f
      "41bc01000000", // mov r12d, 1
      "b803000000", // 1: mov eax, 3: close
      "4489e7", // mov edi, r12d
      "0f05", // syscall
      "41ffc4", // inc r12d
      "4181fc00000100", // cmp r12d, 65536
      "75ea", // jne 1b
      "c7432801000000", // 2: mov [rbx+40], 1
      "8b03", // mov eax, [rbx]
      "31ff", // xor edi, edi
      "488b7310", // mov rsi, [rbx+16]
      "488b5318", // mov rdx, [rbx+24]
      "0f05", // syscall
      "48894320", // mov [rbx+32], rax
      "b8e7000000", // mov eax, 231: exit_group
      "31ff", // xor edi, edi
      "0f05", // syscall
      "5b", // 3: pop rbx
      "c3", // ret
    ],
    watch: [
      "53", // push rbx
      "4889fb", // mov rbx, rdi
      "b819010000", // 1: mov eax, 281: epoll_pwait
      "8b3b", // mov edi, [rbx]
      "488b7308", // mov rsi, [rbx+8]
      "8b5304", // mov edx, [rbx+4]
      "49c7c2ffffffff", // mov r10, -1
      "4531c0", // xor r8d, r8d
      "0f05", // syscall
      "4883f8fc", // cmp rax, -4
      "74e0", // je 1b
      "4885c0", // test rax, rax
      "7e13", // jle 3f
      "89431c", // mov [rbx+28], eax
      "837b1800", // 2: cmp [rbx+24], 0
      "750e", // jne 4f
      "8b7b1c", // mov edi, [rbx+28]
      "ff5310", // call [rbx+16]
      "85c0", // test eax, eax
      "75c8", // jne 1b
      "31c0", // 3: xor eax, eax
      "5b", // pop rbx
      "c3", // ret
      "b823000000", // 4: mov eax, 35: nanosleep
      "488d7b20", // lea rdi, [rbx+32]
      "31f6", // xor esi, esi
      "0f05", // syscall
      "ebdd", // jmp 2b
    ],
  },
  aarch64: {
    call: [
      "e80300aa", // mov x8, x0
      "e00301aa", // mov x0, x1
      "e10302aa", // mov x1, x2
      "e20303aa", // mov x2, x3
      "e30304aa", // mov x3, x4
      "e40305aa", // mov x4, x5
      "010000d4", // svc #0
      "c0035fd6", // ret
    ],
    child: [
      "e90300aa", // mov x9, x0
      "881b80d2", // mov x8, #220: clone
      "200280d2", // mov x0, #17
      "010080d2", // mov x1, #0
      "020080d2", // mov x2, #0
      "030080d2", // mov x3, #0
      "040080d2", // mov x4, #0
      "010000d4", // svc #0
      "400500b5", // cbnz x0, 3f
      "e81080d2", // mov x8, #135: rt_sigprocmask
      "400080d2", // mov x0, #2
      "21c10091", // add x1, x9, #48
      "020080d2", // mov x2, #0
      "030180d2", // mov x3, #8
      "010000d4", // svc #0
      "e81480d2", // mov x8, #167: prctl
      "e00180d2", // mov x0, #15
      "21e10091", // add x1, x9, #56
      "010000d4", // svc #0
      "a81380d2", // mov x8, #157: setsid
      "010000d4", // svc #0
      "080380d2", // mov x8, #24: dup3
      "200940b9", // ldr w0, [x9, #8]
      "010080d2", // mov x1, #0
      "020080d2", // mov x2, #0
      "010000d4", // svc #0
      "883680d2", // mov x8, #436: close_range
      "200080d2", // mov x0, #1
      "01008012", // mov w1, #-1
      "020080d2", // mov x2, #0
      "010000d4", // svc #0
      "000100b4", // cbz x0, 2f
      "2a008052", // mov w10, #1
      "280780d2", // 1: mov x8, #57: close
      "e0030a2a", // mov w0, w10
      "010000d4", // svc #0
      "4a050011", // add w10, w10, #1
      "5f414071", // cmp w10, #16, lsl #12
      "61ffff54", // b.ne 1b
      "21008052", // 2: mov w1, #1
      "212900b9", // str w1, [x9, #40]
      "280140b9", // ldr w8, [x9]
      "000080d2", // mov x0, #0
      "210940f9", // ldr x1, [x9, #16]
      "220d40f9", // ldr x2, [x9, #24]
      "010000d4", // svc #0
      "201100f9", // str x0, [x9, #32]
      "c80b80d2", // mov x8, #94: exit_group
      "000080d2", // mov x0, #0
      "010000d4", // svc #0
      "c0035fd6", // 3: ret
    ],
    watch: [
      "fd7bbea9", // stp x29, x30, [sp, #-32]!
      "fd030091", // mov x29, sp
      "f30b00f9", // str x19, [sp, #16]
      "f30300aa", // mov x19, x0
      "c80280d2", // 1: mov x8, #22: epoll_pwait
      "600240b9", // ldr w0, [x19]
      "610640f9", // ldr x1, [x19, #8]
      "620640b9", // ldr w2, [x19, #4]
      "03008092", // mov x3, #-1
      "040080d2", // mov x4, #0
      "010000d4", // svc #0
      "1f1000b1", // cmn x0, #4
      "00ffff54", // b.eq 1b
      "1f0000f1", // cmp x0, #0
      "0d010054", // b.le 3f
      "601e00b9", // str w0, [x19, #28]
      "691a40b9", // 2: ldr w9, [x19, #24]
      "29010035", // cbnz w9, 4f
      "601e40b9", // ldr w0, [x19, #28]
      "690a40f9", // ldr x9, [x19, #16]
      "20013fd6", // blr x9
      "e0fdff35", // cbnz w0, 1b
      "000080d2", // 3: mov x0, #0
      "f30b40f9", // ldr x19, [sp, #16]
      "fd7bc2a8", // ldp x29, x30, [sp], #32
      "c0035fd6", // ret
      "a80c80d2", // 4: mov x8, #101: nanosleep
      "60820091", // add x0, x19, #32
      "010080d2", // mov x1, #0
      "010000d4", // svc #0
      "f2ffff17", // b 2b
    ],
  },
};

/** The routines in memory. */
export type MachineCode = Readonly<
  // Whoever calls one says what its parameters are.
  // deno-lint-ignore no-explicit-any
  Record<keyof Routines, Deno.PointerObject<any>>
>;

/** Bytes of memory for the routines. */
const CODE_BYTES = 4096;

/** Each routine begins at a multiple of it. */
const ALIGNMENT = 64;

/** Puts the routines of this processor into memory that can be executed. */
export function loadMachineCode(): MachineCode {
  const page = memory().mmap(
    0n,
    BigInt(CODE_BYTES),
    PROT_READ | PROT_WRITE,
    MAP_PRIVATE | MAP_ANONYMOUS,
    -1,
    0n,
  )!;
  const bytes = new Uint8Array(
    Deno.UnsafePointerView.getArrayBuffer(page, CODE_BYTES),
  );
  let end = 0;
  // deno-lint-ignore no-explicit-any
  const place = (instructions: readonly string[]): Deno.PointerObject<any> => {
    const start = Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    const code = Uint8Array.fromHex(instructions.join(""));
    bytes.set(code, start);
    end = start + code.length;
    return Deno.UnsafePointer.offset(page, start)!;
  };
  const { call, child, watch } = ROUTINES[Deno.build.arch];
  const code = {
    call: place(call),
    child: place(child),
    watch: place(watch),
  };
  // Where an arm64 processor has instructions in a cache of their own, the
  // kernel makes it coherent when memory becomes executable.
  protection().mprotect(page, BigInt(CODE_BYTES), PROT_READ | PROT_EXEC);
  return code;
}
