/**
 * What the device plugin takes from npm, by versioned specifiers: a module that
 * is run by URL does not use this project's import map.
 *
 * @module
 */

export * as grpc from "npm:@grpc/grpc-js@^1.14.0";
export { fromJSON } from "npm:@grpc/proto-loader@^0.8.0";
