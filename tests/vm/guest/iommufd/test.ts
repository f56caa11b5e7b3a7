/**
 * A test on the mock IOMMU. It holds nothing more after it than before.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { type Holdings, holdings } from "../observe.ts";
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
      // The thread that waits for queues ends a little later.
      for (let i = 0; i < 50 && !equal(holdings(), before); i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assertEquals(holdings(), before);
    },
  });
}

function equal(a: Holdings, b: Holdings): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
