/**
 * What goes on working after a mistake, or after the end of a process.
 */
import { assertEquals } from "@std/assert";
import { EDU_ID } from "./edu.ts";
import { Script } from "./script.ts";
import { addressOf, forEachBackend, machine } from "./setup.ts";

forEachBackend(
  "MappedRegisters and DmaMemory throw DETACHED, and the process lives, when they are used after detach",
  async (setup) => {
    await setup.take("edu0");
    await using script = await Script.start(
      {},
      async ({ AddressSpace, VfioDevice, send }, address, backend) => {
        await using space = new AddressSpace({ backend });
        const device = await VfioDevice.attach(address, space);
        const registers = device.region(0).map();
        const memory = space.allocate(4096);
        const { bytes } = memory;
        bytes[0] = 1;
        // Often enough that the code is optimised.
        const read = () => registers.read32(0);
        for (let i = 0; i < 20_000; i++) read();
        send([read(), bytes[0]]);
        await device.detach();
        await space.close();

        const uses: (() => unknown)[] = [
          read,
          () => registers.read8(0),
          () => registers.read16(0),
          () => registers.read64(0),
          () => registers.write8(0, 0),
          () => registers.write16(0, 0),
          () => registers.write32(0, 0),
          () => registers.write64(0, 0n),
          () => memory.bytes,
          () => device.config,
          () => device.fd,
        ];
        send(uses.map((use) => {
          try {
            return use();
          } catch (error) {
            return (error as { code: string }).code;
          }
        }));
        // An old view is empty.
        send([bytes.length, bytes[0] ?? null]);
      },
      addressOf("edu0"),
      setup.backend,
    );
    assertEquals(await script.next(), [EDU_ID, 1]);
    assertEquals(await script.next(), Array(11).fill("DETACHED"));
    assertEquals(await script.next(), [0, null]);
    assertEquals(await script.end(), { code: 0, signal: null, stderr: "" });
  },
);

forEachBackend(
  "VfioDevice.attach() works at once when the process that had the device, with DMA and interrupts, was killed",
  async (setup) => {
    const fn = await setup.take("edu0");
    await using script = await Script.start(
      {},
      async ({ AddressSpace, Edu, VfioDevice, send }, address, backend) => {
        const space = new AddressSpace({ backend });
        const device = await VfioDevice.attach(address, space);
        const memory = space.allocate(8192, { dmaMask: 0xfff_ffffn });
        const edu = new Edu(device);
        const [vector] = await device.irq("msi").enable();
        await device.requests.vector();
        vector!.listen(() => send("interrupted"));
        for (;;) {
          await edu.copy(memory.iova, memory.iova + 4096n, 2048);
          device.irq("msi").trigger();
        }
      },
      fn.address,
      setup.backend,
    );
    assertEquals(await script.next(), "interrupted");
    await script[Symbol.asyncDispose]();
    assertEquals((await script.end()).signal, "SIGKILL");
    for (const backend of machine.backends) {
      await using device = await setup.attach("edu0", setup.space({ backend }));
      assertEquals(device.config.read16(0), fn.vendor);
      assertEquals(device.region(0).map().read32(0), EDU_ID);
      const [vector] = await device.irq("msi").enable();
      device.irq("msi").trigger();
      assertEquals(await vector!.next(), 1);
    }
  },
);
