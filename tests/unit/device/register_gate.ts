import { assertEquals } from "@std/assert";
import { MappedRegisters } from "../../../lib/device/regions/mapped_registers.ts";
import {
  type RegisterClosure,
  RegisterGate,
} from "../../../lib/device/regions/register_gate.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { failure } from "../../failures.ts";

const OFF: RegisterClosure = {
  problem: "its memory is off",
  hint: "switch it on",
};
const RESET: RegisterClosure = { problem: "it is being reset", hint: "wait" };

/** A gate with registers, and what the device answers. */
function setUp() {
  const device: { answer: RegisterClosure | undefined; asked: number } = {
    answer: undefined,
    asked: 0,
  };
  const gate = new RegisterGate("gpu", () => {
    device.asked++;
    return device.answer;
  });
  const make = () => {
    const buffer = new ArrayBuffer(4096);
    const mapping = { address: 0n, length: 4096, buffer };
    return new MappedRegisters("gpu", mapping, () => buffer.transfer(0));
  };
  const registers = make();
  const remove = gate.add(registers);
  return { device, gate, make, registers, remove };
}

Deno.test("RegisterGate.refresh() closes and opens registers as the device says", () => {
  const { device, gate, registers } = setUp();
  assertEquals(registers.read32(0), 0);
  device.answer = OFF;
  gate.refresh();
  const error = failure("INACCESSIBLE", () => registers.read32(0));
  assertEquals(
    error.message,
    "vfio gpu: its memory is off\nhint: switch it on",
  );
  for (const offset of [-1, 1, 4096, NaN]) {
    failure("INACCESSIBLE", () => registers.write32(offset, 0));
  }
  assertEquals(registers.size, 4096);
  device.answer = undefined;
  gate.refresh();
  assertEquals(registers.read32(4092), 0);
});

Deno.test("RegisterGate asks the device again before it refuses an access, and never for open registers", () => {
  const { device, gate, registers } = setUp();
  device.answer = OFF;
  gate.refresh();
  device.answer = undefined;
  device.asked = 0;
  registers.write32(0, 5);
  assertEquals([registers.read32(0), device.asked], [5, 1]);
});

Deno.test("RegisterGate.close() keeps registers closed until each holder lets go, and asks nothing meanwhile", () => {
  const { device, gate, make, registers } = setUp();
  device.asked = 0;
  const first = gate.close(RESET);
  const second = gate.close(RESET);
  const later = make();
  gate.add(later);
  gate.refresh();
  first[Symbol.dispose]();
  for (const view of [registers, later]) {
    failure("INACCESSIBLE", () => view.read32(0));
  }
  assertEquals(device.asked, 0);
  device.answer = OFF;
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  assertEquals(device.asked, 1);
  const error = failure("INACCESSIBLE", () => later.read32(0));
  assertEquals(error.problem, OFF.problem);
});

Deno.test("RegisterGate asks nothing when no registers are mapped", () => {
  const { device, gate, remove } = setUp();
  remove();
  device.asked = 0;
  gate.refresh();
  gate.close(RESET)[Symbol.dispose]();
  assertEquals(device.asked, 0);
});

Deno.test("MappedRegisters stay DETACHED when their gate opens after they were unmapped", () => {
  const { gate, registers } = setUp();
  const closed = gate.close(RESET);
  registers.unmap();
  failure("DETACHED", () => registers.read32(0));
  closed[Symbol.dispose]();
  failure("DETACHED", () => registers.read32(0));
  assertEquals(registers.size, 0);
});

Deno.test("RegisterGate.explain() explains EIO when the device cannot be accessed, and nothing else", () => {
  const { device, gate } = setUp();
  const eio = new KernelError(errnoNumber("EIO"), "pread");
  assertEquals(gate.explain(eio), undefined);
  device.answer = OFF;
  assertEquals(gate.explain(eio)?.code, "INACCESSIBLE");
  assertEquals(gate.explain(eio)?.cause, eio);
  const eagain = new KernelError(errnoNumber("EAGAIN"), "pread");
  assertEquals(gate.explain(eagain), undefined);
});
