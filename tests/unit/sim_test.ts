/**
 * The tests of `lib/sim/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./sim/disk.ts";
import "./sim/netlink.ts";
import "./sim/settings.ts";
import "./sim/snapshot.ts";
import "./sim/sysfs.ts";
import "./sim/topology.ts";
