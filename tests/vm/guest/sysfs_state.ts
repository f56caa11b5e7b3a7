/**
 * Snapshots of a device in sysfs, for comparison.
 */
import { assertEquals } from "@std/assert";
import { until } from "./until.ts";

/**
 * Attributes that count up, or get a new number, when a driver takes a
 * function.
 */
const VOLATILE = new RegExp(
  "/(?:power/runtime_(?:active|suspended)_time|diskseq|pools|stat|ifindex|iflink|irq|" +
    "statistics/.*|carrier_(?:changes|up_count|down_count))$",
);

/** Reads all attributes of a device, except those that always change. */
function snapshot(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (directory: string) => {
    for (
      const { name, isSymlink, isDirectory } of Deno.readDirSync(directory)
    ) {
      const entry = `${directory}/${name}`;
      if (VOLATILE.test(entry)) continue;
      if (isSymlink) found[entry] = `-> ${Deno.readLinkSync(entry)}`;
      // Which numbers they have depends on who has freed some.
      else if (name === "msi_irqs") found[entry] = `${countOf(entry)} messages`;
      else if (isDirectory) visit(entry);
      else found[entry] = content(entry);
    }
  };
  visit(path);
  return found;
}

function countOf(directory: string): number {
  return [...Deno.readDirSync(directory)].length;
}

/** The text of an attribute, or `"present"` for one without text. */
function content(path: string): string {
  const { mode, size } = Deno.statSync(path);
  // Attributes with text have the size of a page, whatever their length.
  if (((mode ?? 0) & 0o444) === 0 || size !== 4096) return "present";
  if (path.endsWith("/config")) return "present";
  try {
    return Deno.readTextFileSync(path).replace(/^(IFINDEX|DISKSEQ)=.*$/m, "$1");
  } catch (error) {
    return (error as Error).name; // such as the speed of a link that is down
  }
}

const delay = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Takes a snapshot of a device once its driver has finished setting it up. */
export async function settled(path: string): Promise<Record<string, string>> {
  for (let before = snapshot(path);;) {
    await delay(200);
    const now = snapshot(path);
    if (JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
}

/**
 * Waits until a device is as in a snapshot, as drivers also work in the
 * background.
 */
export async function assertBecomes(
  path: string,
  expected: Record<string, string>,
): Promise<void> {
  const wanted = JSON.stringify(expected);
  await until(
    () => JSON.stringify(snapshot(path)) === wanted,
    "the state before",
  ).catch(() => assertEquals(snapshot(path), expected));
}
