/**
 * `parseArgs` of `@std/cli`, for machines that do not reach JSR: the command's.
 *
 * @module
 */

export * from "../../../scripts/passthru/args.ts";
