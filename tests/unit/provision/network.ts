import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { VfioError } from "../../../lib/errors.ts";
import { Host } from "../../../lib/host/host.ts";
import { simulate, type SimulatedHost } from "../../../lib/sim/host.ts";
import {
  networkInterfaces,
  readVirtualNetwork,
  setVirtualNetwork,
} from "../../../lib/host/driver/vf_network.ts";
import { errnoNumber, KernelError } from "../../../lib/kernel/errno.ts";
import { intercept } from "../../../lib/kernel/intercept.ts";
import { apply } from "../../../lib/provision/apply.ts";
import { plan } from "../../../lib/provision/plan/plan.ts";
import { restore } from "../../../lib/provision/restore.ts";
import { status } from "../../../lib/provision/status.ts";
import type {
  DesiredState,
  VirtualFunctionsState,
} from "../../../lib/provision/state/state.ts";
import type { FunctionTopology } from "../../../lib/sim/machine/topology.ts";
import {
  NLMSG_ERROR,
  nlmsgerr,
  nlmsghdr,
} from "../../../lib/uapi/linux/rtnetlink.ts";
import { deathsIn, forEach, Mortal } from "../provision_bench.ts";
import { contradicted, planned, refused, settled } from "../planned.ts";

const PF = "0000:01:00.0";
const MAC = "52:54:00:12:34:56";
const OTHER = "52:54:00:00:00:01";

/** A network card whose virtual functions igbvf takes automatically. */
function nic(
  more: Partial<FunctionTopology> = {},
  enabled = 0,
): SimulatedHost {
  return simulate({
    functions: {
      [PF]: {
        id: "8086:10c9",
        class: 0x020000,
        driver: "igb",
        network: "eth0",
        sriov: { total: 7, enabled, id: "8086:10ca", driver: "igbvf" },
        ...more,
      },
    },
  });
}

const vfs = (
  virtualFunctions: VirtualFunctionsState,
  driver?: string | null,
): DesiredState => ({
  functions: [{
    select: PF,
    virtualFunctions,
    ...driver !== undefined && { driver },
  }],
});

/** The MAC address and VLAN of each virtual function. */
function network(host: Host): string[] {
  const fn = host.function(PF);
  return fn.virtualFunctions.map((_, i) => {
    const { mac, vlan } = readVirtualNetwork(fn, i)!;
    return `${mac} ${vlan.id}`;
  });
}

const NONE = "00:00:00:00:00:00 0";

/** The same host, but changes of interfaces fail with an errno. */
function refusing(
  host: SimulatedHost,
  code: string,
  when: () => boolean = () => true,
): Host {
  const kernel = intercept(host.kernel, (call, proceed) => {
    const result = proceed();
    const into = call.args[1];
    if (call.method !== "read" || !(into instanceof Uint8Array)) return result;
    const isAck = nlmsghdr.decode(into).nlmsg_type === NLMSG_ERROR;
    if (into.length !== 4096 || !isAck || !when()) return result;
    const msg = nlmsgerr.decode(into, nlmsghdr.size).msg;
    nlmsgerr.encode(into, { error: -errnoNumber(code), msg }, nlmsghdr.size);
    return result;
  });
  return new Host({ kernel });
}

Deno.test("plan() sets MAC addresses and VLANs when virtual functions exist and have no driver yet", async () => {
  const state = vfs({
    count: 3,
    driver: "vfio-pci",
    vlan: 7,
    overrides: {
      "1": { mac: MAC.toUpperCase() },
      "2": { vlan: 0, mac: OTHER },
    },
  });
  const host = nic();
  assertEquals(planned(host, state), [
    `${PF}: sriov_drivers_autoprobe = 0`,
    `${PF}: 3 virtual functions`,
    "0000:01:10.0: VLAN 7",
    `0000:01:10.2: MAC ${MAC}, VLAN 7`,
    `0000:01:10.4: MAC ${OTHER}, no VLAN`,
    "0000:01:10.0: driver vfio-pci",
    "0000:01:10.2: driver vfio-pci",
    "0000:01:10.4: driver vfio-pci",
  ]);
  await settled(host, state);
  assertEquals(network(host), [
    "00:00:00:00:00:00 7",
    `${MAC} 7`,
    `${OTHER} 0`,
  ]);
  assertEquals(
    (await status(host))[0]!.steps.every(({ holds }) => holds),
    true,
  );
  assertEquals((await restore(host)).left, []);
  assertEquals(host.function(PF).virtualFunctions, []);
});

Deno.test("plan() sets MAC addresses before the host's drivers see virtual functions", async () => {
  const state = vfs({
    count: 1,
    driver: "igbvf",
    overrides: { "0": { mac: MAC } },
  });
  const host = nic();
  assertEquals(planned(host, state), [
    `${PF}: sriov_drivers_autoprobe = 0`,
    `${PF}: 1 virtual function`,
    `0000:01:10.0: MAC ${MAC}`,
    "0000:01:10.0: driver igbvf",
  ]);
  await settled(host, state);
  const [fn] = host.function(PF).virtualFunctions;
  assertEquals(fn?.driver, "igbvf");
  // The driver of one without a driver in the state is not known.
  const any = vfs({ count: 1, overrides: { "0": { mac: MAC } } });
  assertEquals(planned(nic(), any), [
    `${PF}: 1 virtual function`,
    `0000:01:10.0: MAC ${MAC}`,
  ]);
});

Deno.test("plan() changes only what differs when virtual functions stay, and restore() undoes that", async () => {
  const host = nic({}, 2);
  const fn = host.function(PF);
  setVirtualNetwork(fn, 0, { mac: OTHER });
  setVirtualNetwork(fn, 1, { vlan: { id: 5, qos: 3, protocol: 0x8100 } });
  const before = [0, 1].map((i) => readVirtualNetwork(fn, i));
  const state = vfs({
    count: 2,
    vlan: 5,
    overrides: { "0": { mac: OTHER }, "1": { mac: MAC } },
  });
  assertEquals(planned(host, state), [
    "0000:01:10.0: VLAN 5",
    `0000:01:10.2: MAC ${MAC}`,
  ]);
  assertEquals(
    plan(host, state).steps.map(({ why }) => why),
    [
      `virtual function 0 of ${PF}: now it has ${OTHER}, no VLAN`,
      `virtual function 1 of ${PF}: now it has no MAC address, VLAN 5`,
    ],
  );
  await settled(host, state);
  assertEquals(network(host), [`${OTHER} 5`, `${MAC} 5`]);
  // The priority of this one is not changed.
  assertEquals(readVirtualNetwork(fn, 1)!.vlan.qos, 3);
  assertEquals((await restore(host)).left, []);
  assertEquals([0, 1].map((i) => readVirtualNetwork(fn, i)), before);
  const tagged = vfs({ count: 2, vlan: 9 });
  await settled(host, tagged);
  assertEquals(readVirtualNetwork(fn, 1)!.vlan.qos, 0);
  await restore(host);
  assertEquals([0, 1].map((i) => readVirtualNetwork(fn, i)), before);
});

Deno.test("restore() keeps a MAC address when another process has changed it since", async () => {
  const host = nic({}, 1);
  await settled(host, vfs({ count: 1, overrides: { "0": { mac: MAC } } }));
  setVirtualNetwork(host.function(PF), 0, { mac: OTHER });
  const { left } = await restore(host);
  assertEquals(left.map(({ error }) => (error as VfioError).code), ["CHANGED"]);
  assertStringIncludes(String(left[0]!.error), OTHER);
  assertEquals(network(host), [`${OTHER} 0`]);
});

Deno.test("restore() completes when another restore was killed between a VLAN and a MAC address", async () => {
  const overrides = { "0": { mac: MAC, vlan: 5 } };
  const made = async () => {
    const host = nic({}, 1);
    await settled(host, vfs({ count: 1, overrides }));
    return host;
  };
  const deaths = await deathsIn(
    ({ host }) => restore(host),
    (await made()).machine,
  );
  await forEach(deaths, async (death) => {
    const host = await made();
    const process = new Mortal(host.machine, death);
    await restore(process.host).catch(() => {});
    assert(process.dead);
    assertEquals((await restore(host)).left, []);
    assertEquals(network(host), [NONE]);
  });
});

Deno.test("restore() removes virtual functions when another process has changed a MAC address", async () => {
  const host = nic();
  await settled(
    host,
    vfs({ count: 1, driver: null, overrides: { "0": { mac: MAC } } }),
  );
  setVirtualNetwork(host.function(PF), 0, { mac: OTHER });
  assertEquals((await restore(host)).left.length, 1);
  assertEquals(host.function(PF).virtualFunctions, []);
  assertEquals((await restore(host)).left, []);
  assertEquals(await status(host), []);
});

Deno.test("restore() succeeds when a driver cannot clear a MAC address", async () => {
  const host = nic({}, 1);
  await settled(
    host,
    vfs({ count: 1, vlan: 3, overrides: { "0": { mac: MAC } } }),
  );
  // The VLAN is removed first, and then the address.
  let answers = 0;
  const picky = refusing(host, "EINVAL", () => ++answers === 2);
  assertEquals((await restore(picky)).left, []);
  assertEquals(answers, 2);
});

Deno.test("apply() tries again when a virtual function is being reset", async () => {
  const host = nic({}, 1);
  let times = 0;
  const state = vfs({ count: 1, vlan: 3 });
  await apply(refusing(host, "EAGAIN", () => ++times < 4), state);
  assertEquals(times, 4);
  assertEquals(network(host), ["00:00:00:00:00:00 3"]);
});

for (
  const [code, meaning] of [
    ["EPERM", "PERMISSION_DENIED"],
    ["EOPNOTSUPP", "NOT_SUPPORTED"],
    ["EPROTONOSUPPORT", "NOT_SUPPORTED"],
    ["EBUSY", "DEVICE_BUSY"],
    ["EINVAL", "KERNEL"],
  ]
) {
  Deno.test(`setVirtualNetwork() throws ${meaning} when the kernel answers ${code}`, async () => {
    const host = refusing(nic({}, 1), code!);
    const error = await assertRejects(
      async () => {
        await Promise.resolve();
        setVirtualNetwork(host.function(PF), 0, { mac: MAC });
      },
      VfioError,
    );
    assertEquals([error.code, error.device], [meaning, PF]);
    assert(error.cause instanceof KernelError);
  });
}

Deno.test("apply() undoes a setting when the kernel makes it and answers an error", async () => {
  const host = nic({}, 1);
  let answers = 0;
  const failing = refusing(host, "EPERM", () => ++answers === 1);
  const error = await assertRejects(
    () => apply(failing, vfs({ count: 1, vlan: 3 })),
    VfioError,
  );
  assertEquals([error.code, answers], ["PERMISSION_DENIED", 2]);
  assertStringIncludes(error.message, "nothing is changed");
  assertEquals(network(host), [NONE]);
  assertEquals(await status(host), []);
});

Deno.test("plan() reads MAC addresses and VLANs when the user has no privileges", () => {
  const host = nic({}, 1);
  const user = new Host({ kernel: host.machine.spawn({ uid: 1000 }) });
  assertEquals(planned(user, vfs({ count: 1, vlan: 0 })), []);
  assertEquals(planned(user, vfs({ count: 1, vlan: 2 })), [
    "0000:01:10.0: VLAN 2",
  ]);
});

Deno.test("plan() throws NOT_SUPPORTED when the physical function has no network interface", () => {
  const state = vfs({ count: 1, vlan: 3 });
  const storage = simulate({
    functions: {
      [PF]: {
        id: "1b36:0010",
        driver: "nvme",
        sriov: { total: 4, id: "1b36:0010" },
      },
    },
  });
  const error = refused("NOT_SUPPORTED", storage, state);
  assertStringIncludes(error.message, "nvme makes none");
  // A VFIO driver that may create virtual functions has no interface either.
  const vfioMaker = nic();
  vfioMaker.kernel.writeFile(
    "/sys/module/vfio_pci/parameters/enable_sriov",
    "Y",
  );
  assertStringIncludes(
    refused("NOT_SUPPORTED", vfioMaker, vfs({ count: 1, vlan: 3 }, "vfio-pci"))
      .message,
    "give it the host's driver",
  );
});

Deno.test("plan() binds a network card's driver first when that sets the VLANs", async () => {
  const host = simulate({
    functions: {
      [PF]: {
        id: "8086:10c9",
        driver: null,
        network: "eth0",
        sriov: { total: 7, id: "8086:10ca" },
      },
    },
    drivers: { igb: { ids: ["8086:10c9"], virtualFunctions: "removed" } },
  });
  assertEquals(networkInterfaces(host.function(PF)), []);
  const state = vfs({ count: 1, vlan: 3 }, "igb");
  assertEquals(planned(host, state), [
    `${PF}: driver igb`,
    `${PF}: 1 virtual function`,
    "0000:01:10.0: VLAN 3",
  ]);
  await settled(host, state);
});

Deno.test("apply() throws NOT_SUPPORTED and undoes everything when the driver makes no interface", async () => {
  const host = simulate({
    functions: {
      [PF]: {
        id: "8086:10c9",
        driver: null,
        sriov: { total: 7, id: "8086:10ca" },
      },
    },
    drivers: { igb: { ids: ["8086:10c9"], virtualFunctions: "removed" } },
  });
  const error = await assertRejects(
    () => apply(host, vfs({ count: 1, vlan: 3 }, "igb"), { timeout: 50 }),
    VfioError,
  );
  assertEquals(error.code, "NOT_SUPPORTED");
  assertEquals(host.function(PF).driver, undefined);
});

for (
  const mac of [
    "00:00:00:00:00:00",
    "01:00:5e:00:00:01",
    "ff:ff:ff:ff:ff:ff",
    "52:54:00:12:34",
    "52-54-00-12-34-56",
  ]
) {
  Deno.test(`plan() throws when a MAC address is ${mac}`, () => {
    assertEquals(
      contradicted(nic(), vfs({ count: 1, overrides: { "0": { mac } } })),
      'functions[0].virtualFunctions.overrides["0"].mac: expected the MAC ' +
        `address of one device such as "52:54:00:12:34:56", got "${mac}"`,
    );
  });
}

Deno.test("plan() throws when all virtual functions get one MAC address, or a VLAN is out of range", () => {
  const all = { count: 2, mac: MAC } as VirtualFunctionsState;
  assertStringIncludes(
    contradicted(nic(), vfs(all)),
    "functions[0].virtualFunctions.mac: there is no such key",
  );
  assertStringIncludes(
    contradicted(nic(), vfs({ count: 2, vlan: 4095 })),
    "functions[0].virtualFunctions.vlan: expected a number from 0 to 4094",
  );
});
