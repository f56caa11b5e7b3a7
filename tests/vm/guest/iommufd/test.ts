/**
 * A test on the mock IOMMU. It holds nothing more after it than before.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { holdings } from "../observe.ts";
import { machine } from "../setup.ts";
import { Mock } from "./mock.ts";

/**
 * Makes a test. Only the testbed's kernel has the mock.
 *
 * @param name The name of the test.
 * @param test The test.
 */
export function onMock(
  name: string,
  test: (mock: Mock) => void | Promise<void>,
): void {
  Deno.test({
    name: `mock IOMMU: ${name}`,
    ignore: machine.name !== "testbed",
    async fn() {
      const before = holdings();
      {
        using mock = new Mock();
        await test(mock);
      }
      assertEquals(holdings(), before);
    },
  });
}
