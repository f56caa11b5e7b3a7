import { assertEquals } from "@std/assert";
import { Edu, EDU_DMA_MASK, EDU_ID } from "./edu.ts";
import { forEachBackend } from "./setup.ts";

forEachBackend("VfioDevice.attach() x", async (setup) => {
  const t0 = performance.now();
  await setup.take("edu0");
  const t1 = performance.now();
  const space = setup.space();
  const device = await setup.attach("edu0", space);
  const t2 = performance.now();
  const edu = new Edu(device);
  assertEquals(edu.id, EDU_ID);
  assertEquals(edu.echo(0x1234_5678), ~0x1234_5678 >>> 0);
  const memory = space.allocate(8192, { dmaMask: EDU_DMA_MASK });
  memory.bytes.fill(7, 0, 4096);
  const t3 = performance.now();
  await edu.copy(memory.iova, memory.iova + 4096n, 4096);
  const t4 = performance.now();
  assertEquals(memory.bytes.subarray(4096), memory.bytes.subarray(0, 4096));
  console.log(t1 - t0, t2 - t1, t3 - t2, t4 - t3);
  space.unmapAll();
  await edu.copyFromDevice(memory.iova, 256).catch(console.log);
  console.log(
    new TextDecoder().decode((await new Deno.Command("dmesg").output()).stdout)
      .split("\n").slice(-12).join("\n"),
  );
  const r = space.limits();
  console.log(r);
});
for (const n of ["vga0", "bench0", "bench1", "nvme0", "e1000e0"]) {
  forEachBackend("r " + n, async (setup) => {
    const d = await setup.attach(n);
    console.log(
      n,
      d.info,
      Array.from({ length: 9 }, (_, i) => d.region(i)).map((r) =>
        [r.index, r.size, r.readable, r.writable, JSON.stringify(r.mappable)]
          .join()
      ).join(" | "),
    );
  });
}
