/**
 * The tests of `lib/kernel/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./kernel/errno.ts";
import "./kernel/fault.ts";
import "./kernel/fd.ts";
import "./kernel/files.ts";
import "./kernel/info.ts";
import "./kernel/intercept.ts";
import "./kernel/trace.ts";
