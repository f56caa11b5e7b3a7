/**
 * Everything that sysfs says of a device, to be compared.
 */
import { assertEquals } from "@std/assert";
import { until } from "./until.ts";

/** What counts up, or is numbered anew, whenever a driver takes a function. */
const VOLATILE = new RegExp(
  "/(?:power/runtime_(?:active|suspended)_time|diskseq|pools|stat|ifindex|iflink|" +
    "statistics/.*|carrier_(?:changes|up_count|down_count))$",
);

/** Everything that sysfs says of a device, but for what always changes. */
function snapshot(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (directory: string) => {
    for (
      const { name, isSymlink, isDirectory } of Deno.readDirSync(directory)
    ) {
      const entry = `${directory}/${name}`;
      if (VOLATILE.test(entry)) continue;
      if (isSymlink) found[entry] = `-> ${Deno.readLinkSync(entry)}`;
      else if (isDirectory) visit(entry);
      else found[entry] = content(entry);
    }
  };
  visit(path);
  return found;
}

/** The text of an attribute; of one without text, that it is there. */
function content(path: string): string {
  const { mode, size } = Deno.statSync(path);
  // Attributes with text are said to be of a page, whatever is in them.
  if (((mode ?? 0) & 0o444) === 0 || size !== 4096) return "present";
  if (path.endsWith("/config")) return "present";
  try {
    return Deno.readTextFileSync(path).replace(/^(IFINDEX|DISKSEQ)=.*$/m, "$1");
  } catch (error) {
    return (error as Error).name; // such as the speed of a link that is down
  }
}

const delay = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A snapshot of a device that its driver has finished setting up. */
export async function settled(path: string): Promise<Record<string, string>> {
  for (let before = snapshot(path);;) {
    await delay(200);
    const now = snapshot(path);
    if (JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
}

/** Waits for what a driver does in the background. */
export async function assertBecomes(
  path: string,
  expected: Record<string, string>,
): Promise<void> {
  const wanted = JSON.stringify(expected);
  await until(
    () => JSON.stringify(snapshot(path)) === wanted,
    "what the driver had",
  ).catch(() => assertEquals(snapshot(path), expected));
}
