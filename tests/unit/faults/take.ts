/**
 * Every kernel call fails in turn as functions are made, taken and given back.
 */
import {
  A,
  failEachCall,
  NUMVFS,
  OVERRIDDEN,
  PHYSICAL,
  SPARE,
  UNBOUND,
} from "./bench.ts";
import { isMissing, returns, takes } from "./operations.ts";

failEachCall("Writing sriov_numvfs is all or nothing", {
  backends: ["auto"],
  prepare: () => {},
  act: ({ host }) => host.kernel.writeFileAsync(NUMVFS, "2"),
  raw: true,
});

for (
  const [what, address] of [
    ["with a driver", SPARE],
    ["without a driver", UNBOUND],
    ["with an override", OVERRIDDEN],
    ["with vfio-pci already", A],
  ] as const
) {
  failEachCall(`Host.take() of one ${what} is undone`, takes(address));
  if (address === A) continue;
  failEachCall(`giveBack() of one ${what} is undone`, returns(address));
}

failEachCall("Host.take() of a virtual function is undone", {
  backends: ["auto"],
  async prepare({ host }) {
    await host.kernel.writeFileAsync(NUMVFS, "2");
    return host.function(PHYSICAL).virtualFunctions[1]!;
  },
  async act(world, fn) {
    world.taken = await world.host.take(fn);
  },
  isTaken: isMissing,
});
