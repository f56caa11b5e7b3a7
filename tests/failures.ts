/**
 * Asserts that the library throws, and with which code.
 *
 * @module
 */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { VfioError, type VfioErrorCode } from "../lib/errors.ts";

/**
 * Asserts that a call throws a `VfioError`.
 *
 * @param code The error's code.
 * @param step The call that fails.
 * @returns The error.
 */
export function failure(code: VfioErrorCode, step: () => unknown): VfioError {
  const error = assertThrows(step, VfioError);
  assertEquals(error.code, code, error.message);
  return error;
}

/**
 * Asserts that an operation is rejected with a `VfioError`.
 *
 * @param code The error's code.
 * @param operation The operation.
 * @returns The error.
 */
export async function refused(
  code: VfioErrorCode,
  operation: () => unknown,
): Promise<VfioError> {
  const error = await assertRejects(async () => await operation(), VfioError);
  assertEquals(error.code, code, error.message);
  return error;
}
