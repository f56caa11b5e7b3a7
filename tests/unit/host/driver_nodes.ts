import { assertEquals } from "@std/assert";
import { driverNodes } from "../../../lib/host/driver/nodes.ts";
import { at, GPU, hostWith, NIC, NVME, usual } from "./guards/used_host.ts";

Deno.test("driverNodes() returns the nodes and interfaces that a driver made", () => {
  const files = usual()
    .char(`${at(NVME)}/nvme/nvme0`, "240:0", "nvme0")
    .file("/sys/class/net/bonding_masters", "\n");
  const host = hostWith(files);
  const nodes = (address: string) =>
    driverNodes(host.function(address)).map(({ name, kind }) => [name, kind]);
  assertEquals(nodes(NVME), [
    ["/dev/nvme0", "other"],
    ["/dev/nvme0n1", "disk"],
    ["/dev/nvme0n1p1", "partition"],
    ["/dev/nvme0n1p2", "partition"],
  ]);
  assertEquals(nodes(NIC), [["eth0", "network"]]);
  assertEquals(nodes(GPU), []);
});
