/**
 * The tests of `lib/provision/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./provision/apply.ts";
import "./provision/network.ts";
import "./provision/parse.ts";
import "./provision/persist.ts";
import "./provision/plan.ts";
import "./provision/random.ts";
import "./provision/selector.ts";
import "./provision/settings.ts";
import "./provision/virtual.ts";
