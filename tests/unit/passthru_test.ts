/**
 * The tests of the command, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./passthru/look.ts";
import "./passthru/main.ts";
import "./passthru/state.ts";
import "./passthru/tree.ts";
