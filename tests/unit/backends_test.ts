/**
 * The tests of `backends/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./backends/explain.ts";
import "./backends/select.ts";
import "./backends/target.ts";
