import { simulate } from "../lib/sim/mod.ts";
import { assertEquals, assertRejects } from "@std/assert";
import { main } from "./hand_to_qemu.ts";

const NIC = "0000:01:00.0";

function simulated() {
  return simulate({
    functions: { [NIC]: { id: "8086:10d3", driver: "e1000e" } },
  });
}

Deno.test("main() hands the function to QEMU and restores the host", async () => {
  const host = simulated();
  const printed: string[] = [];
  await main(host, NIC, {
    print: (line) => printed.push(line),
    runQemu(args) {
      assertEquals(host.function(NIC).driver, "vfio-pci");
      assertEquals(args.slice(-4), [
        "-object",
        "iommufd,id=iommufd0",
        "-device",
        "vfio-pci,id=hd0,host=0000:01:00.0,iommufd=iommufd0",
      ]);
      return Promise.resolve("PCI: init bdf=00:01.0 id=8086:10d3\n");
    },
  });
  assertEquals(printed[0], "before: e1000e");
  assertEquals(
    printed.at(-2),
    "QEMU's firmware: PCI: init bdf=00:01.0 id=8086:10d3",
  );
  assertEquals(printed.at(-1), "after: e1000e");
});

Deno.test("main() restores the host when QEMU fails", async () => {
  const host = simulated();
  await assertRejects(
    () =>
      main(host, NIC, {
        print: () => {},
        runQemu: () => Promise.reject(new Error("QEMU failed")),
      }),
    Error,
    "QEMU failed",
  );
  assertEquals(host.function(NIC).driver, "e1000e");
});
