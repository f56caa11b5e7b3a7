/**
 * Scripts of an ordinary user, who owns only the device nodes.
 */
import { assertEquals } from "@std/assert";
import type { BackendName } from "../../../mod.ts";
import { vfioNodes } from "../../../lib/host/iommu/nodes.ts";
import { type Library, Script } from "./script.ts";
import { addressOf, forEachBackend, type Setup } from "./setup.ts";

const UID = 1000;

/** The limit on the user's locked memory, in bytes. */
const LIMIT = 64 * 1024;

/** The nodes through which a function is attached. Its own node is the last. */
async function nodesOf(setup: Setup, name: string): Promise<string[]> {
  const { group, cdev } = vfioNodes(await setup.take(name));
  return setup.backend === "legacy"
    ? ["/dev/vfio/vfio", group!]
    : ["/dev/iommu", cdev!];
}

/** Gives a node to a user only, until it is disposed of. */
function give(node: string, uid: number): Disposable {
  const before = Deno.statSync(node);
  Deno.chownSync(node, uid, uid);
  Deno.chmodSync(node, 0o600);
  return {
    [Symbol.dispose]() {
      Deno.chownSync(node, before.uid, before.gid);
      Deno.chmodSync(node, before.mode! & 0o777);
    },
  };
}

/** Attaches a device, and sends the result. */
async function attach(
  { AddressSpace, VfioDevice, send }: Library,
  address: string,
  backend: BackendName,
) {
  await using space = new AddressSpace({ backend });
  await VfioDevice.attach(address, space)
    .then(() => send("attached"), ({ code, message }) => send([code, message]));
}

forEachBackend(
  "VfioDevice.attach() works when the user owns the device's nodes",
  async (setup) => {
    using gifts = new DisposableStack();
    for (const node of await nodesOf(setup, "edu0")) {
      gifts.use(give(node, UID));
    }
    await using script = await Script.start(
      { uid: UID },
      async ({ AddressSpace, Edu, VfioDevice, send }, address, backend) => {
        await using space = new AddressSpace({ backend });
        await using device = await VfioDevice.attach(address, space);
        const memory = space.allocate(4096, { dmaMask: 0xfff_ffffn });
        memory.bytes.fill(0x5a, 0, 64);
        await new Edu(device).copy(memory.iova, memory.iova + 64n, 64);
        send([...memory.bytes.subarray(64, 128)]);
      },
      addressOf("edu0"),
      setup.backend,
    );
    assertEquals(await script.next(), Array(64).fill(0x5a));
    assertEquals(await script.end(), { code: 0, signal: null, stderr: "" });
    await setup.attach("edu0");
  },
);

forEachBackend(
  "VfioDevice.attach() throws PERMISSION_DENIED, and names the node, when the user may not open it",
  async (setup) => {
    const nodes = await nodesOf(setup, "edu0");
    for (const node of nodes) {
      using gifts = new DisposableStack();
      for (const each of nodes) gifts.use(give(each, each === node ? 0 : UID));
      await using script = await Script.start(
        { uid: UID },
        attach,
        addressOf("edu0"),
        setup.backend,
      );
      assertEquals(await script.next(), [
        "PERMISSION_DENIED",
        `vfio ${addressOf("edu0")}: this user may not open ${node}\n` +
        "hint: give it the node, with a udev rule or chown; or run as root",
      ]);
    }
  },
);

forEachBackend(
  "AddressSpace.allocate() throws MEMLOCK_LIMIT, with the limit and the need, when the limit is too low",
  async (setup) => {
    using gifts = new DisposableStack();
    for (const node of await nodesOf(setup, "edu0")) {
      gifts.use(give(node, UID));
    }
    await using script = await Script.start(
      { uid: UID, memlock: LIMIT },
      async ({ AddressSpace, VfioDevice, send }, address, backend, limit) => {
        const sendError = (
          { code, message }: { code: string; message: string },
        ) => send([code, message.split("\n")[0]]);
        await using space = new AddressSpace({ backend });
        await using device = await VfioDevice.attach(address, space);
        space.allocate(limit / 2);
        try {
          space.allocate(limit / 2 + 4096);
        } catch (error) {
          sendError(error as never);
        }
        const { memoryLock } = space.limits();
        send([String(memoryLock.limit), String(memoryLock.locked)]);
        space.allocate(limit / 2);

        // Memory that is mapped without a device is locked when one is
        // attached.
        await device.detach();
        space.allocate(4096);
        await VfioDevice.attach(address, space).catch(sendError);
      },
      addressOf("edu0"),
      setup.backend,
      LIMIT,
    );
    assertEquals(await script.next(), [
      "MEMLOCK_LIMIT",
      "vfio: mapping 36864 bytes needs 69632 bytes of locked memory, and the " +
      "limit is 65536",
    ]);
    assertEquals(await script.next(), ["65536", "32768"]);
    assertEquals(
      await script.next(),
      setup.backend === "legacy"
        ? [
          // The container maps them one after the other.
          "MEMLOCK_LIMIT",
          `vfio ${
            addressOf("edu0")
          }: mapping 4096 bytes needs 69632 bytes of ` +
          "locked memory, and the limit is 65536",
        ]
        : [
          "MEMLOCK_LIMIT",
          `vfio ${addressOf("edu0")}: mapping 69632 bytes needs 69632 bytes ` +
          "of locked memory, and the limit is 65536",
        ],
    );
    assertEquals(await script.end(), { code: 0, signal: null, stderr: "" });
  },
);

/** Attaches a device with 48 KiB of memory, sends that, and stays. */
async function attachAndStay(
  { AddressSpace, VfioDevice, send }: Library,
  address: string,
  backend: BackendName,
) {
  const space = new AddressSpace({ backend });
  await VfioDevice.attach(address, space);
  try {
    space.allocate(48 * 1024);
    send("done");
  } catch (error) {
    send((error as Error).message.split("\n")[0]);
  }
  await new Promise((resolve) => setTimeout(resolve, 600_000));
}

forEachBackend(
  "AddressSpace.allocate() mentions the user's other processes when iommufd counts them",
  async (setup) => {
    using gifts = new DisposableStack();
    for (const name of ["edu0", "edu1"]) {
      for (const node of await nodesOf(setup, name)) {
        gifts.use(give(node, UID));
      }
    }
    const start = (name: string) =>
      Script.start(
        { uid: UID, memlock: LIMIT },
        attachAndStay,
        addressOf(name),
        setup.backend,
      );
    await using first = await start("edu0");
    assertEquals(await first.next(), "done");
    await using second = await start("edu1");
    assertEquals(
      await second.next(),
      setup.backend === "legacy"
        ? "done"
        : "vfio: mapping 49152 bytes needs 49152 bytes of locked memory, and " +
          "the limit of 65536 is one for all processes of this user",
    );
  },
);
