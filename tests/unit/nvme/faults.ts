/** The NVMe driver with a controller that fails, or answers nonsense. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { VfioError } from "../../../mod.ts";
import { NvmeController } from "../../../examples/nvme/controller.ts";
import { NvmeError, statusName } from "../../../examples/nvme/error.ts";
import type { Wait } from "../../../examples/nvme/waiting.ts";
import type { NvmeFaults } from "../../../lib/sim/mod.ts";
import { randomNumbers } from "../random.ts";
import { NvmeSetup } from "./setup.ts";

const READ = 2;
const ABORT = 8;
const WAITS: readonly Wait[] = ["poll", "interrupt", "hybrid"];

/** The error of a promise, which is the driver's or the library's. */
async function errorOf(
  promise: Promise<unknown>,
): Promise<NvmeError | VfioError> {
  const error = await assertRejects(() => promise);
  assert(error instanceof NvmeError || error instanceof VfioError, `${error}`);
  return error;
}

const block = () => new Uint8Array(512);

Deno.test("A command that fails throws the name of its status", async () => {
  const faults: NvmeFaults = {
    onCommand: ({ queue }) => queue === 0 ? undefined : 0x4281,
  };
  await using setup = await NvmeSetup.faulty(faults);
  await using disk = await (await setup.start()).open();
  const error = await errorOf(disk.read(0, block())) as NvmeError;
  assertEquals(
    [error.code, error.status, error.canBeRetried, error.message],
    [
      "COMMAND_FAILED",
      0x4281,
      false,
      "nvme 0000:01:00.0: command 0x2 failed: unrecovered read error",
    ],
  );
  assertEquals(statusName(0x7ff), "status 0x7ff");
});

for (const wait of WAITS) {
  Deno.test(`A late command is aborted, by ${wait}, and others go on`, async () => {
    let held = 1;
    const aborts: number[] = [];
    await using setup = await NvmeSetup.faulty({
      onCommand: ({ queue, opcode, dwords }) => {
        if (queue === 0 && opcode === ABORT) aborts.push(dwords[10]!);
        if (queue === 0 || opcode !== READ || held === 0) return;
        held--;
        return "hold";
      },
    });
    const controller = await setup.start({ interrupts: 1, timeLimit: 500 });
    await using disk = await controller.open(1, { depth: 4, wait });
    const start = performance.now();
    const late = errorOf(disk.read(0, block()));
    await disk.read(1, block());
    const error = await late;
    assertEquals(error.code, "TIMED_OUT");
    assert(performance.now() - start < 700, `${performance.now() - start}`);
    assertEquals(aborts, [0 << 16 | 1]);
    await disk.read(0, block());
  });

  Deno.test(`The controller is reset when an abort does not help, by ${wait}`, async () => {
    const ignored = new Set([0]);
    await using setup = await NvmeSetup.faulty({
      onCommand: ({ queue, opcode, dwords }) =>
        queue > 0 && opcode === READ && ignored.has(dwords[10]!)
          ? "ignore"
          : undefined,
    });
    const controller = await setup.start({ interrupts: 2, timeLimit: 500 });
    await using disk = await controller.open(1, { wait });
    await using other = await controller.open(1, { wait });
    ignored.add(5);
    const late = errorOf(disk.read(0, block()));
    await disk.write(7, block().fill(9));
    // It is not late when the controller is reset.
    await new Promise((resolve) => setTimeout(resolve, 400));
    const reset = errorOf(other.read(5, block()));
    assertEquals((await late).code, "TIMED_OUT");
    assertEquals((await reset).code, "TIMED_OUT");
    ignored.clear();
    const read = block();
    await Promise.all([disk.read(7, read), other.read(5, block())]);
    assertEquals(read, block().fill(9));
  });

  Deno.test(`A surprise removal ends all waits with one error, by ${wait}`, async () => {
    const faults: NvmeFaults = {};
    await using setup = await NvmeSetup.faulty(faults);
    const controller = await setup.start({ interrupts: 1 });
    await using disk = await controller.open(1, { depth: 4, wait });
    faults.onCommand = () => "ignore";
    const waits = [
      ...Array.from({ length: 10 }, (_, i) => disk.read(i, block())),
      disk.flush(),
      controller.identify(),
    ].map((wait) => errorOf(wait));
    await Promise.resolve();
    faults.removed = true;
    const errors = await Promise.all(waits);
    assertEquals(new Set(errors).size, 1);
    assert(errors[0] instanceof VfioError);
    assertEquals([errors[0].code, errors[0].device], [
      "DEVICE_LOST",
      "0000:01:00.0",
    ]);
    assertEquals((await errorOf(disk.read(0, block()))).code, "DEVICE_LOST");
    assertEquals((await errorOf(controller.reset())).code, "DEVICE_LOST");
  });
}

Deno.test("A detach ends all waits", async () => {
  await using setup = await NvmeSetup.faulty({
    onCommand: ({ opcode }) => opcode === READ ? "ignore" : undefined,
  });
  const controller = await setup.start({ interrupts: 1 });
  const waits: Promise<NvmeError | VfioError>[] = [];
  for (const wait of WAITS) {
    const disk = await controller.open(1, { wait });
    waits.push(errorOf(disk.read(0, block())));
  }
  await setup.device.detach();
  const codes = (await Promise.all(waits)).map(({ code }) => code);
  assertEquals(codes, ["DETACHED", "DETACHED", "DETACHED"]);
});

Deno.test("NvmeController.start() throws when the controller does not start", async () => {
  const faults: NvmeFaults = {};
  await using setup = await NvmeSetup.faulty(faults);
  const start = () => NvmeController.start(setup.device);
  faults.onRead = (offset, value) => offset === 0x1c ? 0 : value;
  assertEquals((await errorOf(start())).code, "NOT_READY");
  faults.onRead = (offset, value) => offset === 0x1c ? value && 2 : value;
  assertEquals((await errorOf(start())).code, "NOT_READY");
  faults.onRead = (offset, value) => offset === 4 ? 1 << 16 : value;
  assertEquals((await errorOf(start())).code, "UNSUPPORTED");
  faults.removed = true;
  assertEquals((await errorOf(start())).code, "DEVICE_LOST");
  faults.removed = false;
  delete faults.onRead;
  await using controller = await start();
  await controller.identify();
});

Deno.test("A controller that says that it has failed is reset", async () => {
  const faults: NvmeFaults = {};
  await using setup = await NvmeSetup.faulty(faults);
  const controller = await setup.start();
  await using disk = await controller.open();
  faults.onCommand = ({ opcode }) => opcode === READ ? "ignore" : undefined;
  const read = errorOf(disk.read(0, block()));
  let reads = 0;
  faults.onRead = (offset, value) =>
    offset === 0x1c && reads++ === 0 ? value | 2 : value;
  assertEquals((await read).code, "RESET");
  delete faults.onCommand;
  await disk.read(0, block());
});

/** What a nonsensical controller does, at random. */
function nonsense(random: (below: number) => number): NvmeFaults {
  const word = () => random(2 ** 16) << 16 | random(2 ** 16);
  return {
    onCommand: () =>
      random(20) > 0 ? undefined : random(2) > 0 ? "ignore" : random(2 ** 15),
    onCompletion: (right) =>
      random(10) > 0 ? right : {
        id: random(2) > 0 ? random(2 ** 16) : random(40),
        status: random(3) > 0 ? right.status : random(2 ** 15),
        result: word() >>> 0,
      },
    onData: (data, { queue }) => {
      if (queue > 0 || random(3) > 0) return;
      for (let i = random(20); i > 0; i--) {
        data[random(i > 5 ? 600 : data.length)] = random(256);
      }
    },
    onRead: (_, value) => random(30) > 0 ? value : word(),
  };
}

/** Uses a controller as well as it can be used, and returns its errors. */
async function useFully(setup: NvmeSetup, random: (below: number) => number) {
  const errors: unknown[] = [];
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      errors.push(error);
    }
  };
  await attempt(async () => {
    await using controller = await NvmeController.start(setup.device, {
      interrupts: 1,
      timeLimit: 200,
    });
    await attempt(() => controller.identify());
    await attempt(() => controller.namespaces());
    await attempt(() => controller.health());
    for (let times = 0; times < 3; times++) {
      await attempt(async () => {
        const wait = WAITS[random(3)]!;
        await using disk = await controller.open(1, { depth: 5, wait });
        await Promise.all(
          Array.from({ length: 8 }, (_, i) =>
            attempt(async () => {
              const bytes = new Uint8Array(disk.blockSize * (1 + random(40)));
              if (random(2) > 0) await disk.read(i, bytes);
              else await disk.write(i, bytes);
            })),
        );
        await attempt(() => disk.flush());
        if (random(4) === 0) await attempt(() => controller.reset());
      });
    }
  });
  return errors;
}

Deno.test("A controller that answers nonsense leads to typed errors only", async () => {
  const codes = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    const random = randomNumbers(seed);
    const faults = nonsense(random);
    await using setup = await NvmeSetup.faulty(faults);
    for (const error of await useFully(setup, random)) {
      const isTyped = error instanceof NvmeError ||
        error instanceof VfioError || error instanceof RangeError;
      assert(isTyped, `seed ${seed}: ${(error as Error).stack}`);
      codes.add(error instanceof RangeError ? error.name : error.code);
    }
  }
  for (const code of ["PROTOCOL", "COMMAND_FAILED", "TIMED_OUT", "RESET"]) {
    assert(codes.has(code), `${code} of ${[...codes]}`);
  }
});
