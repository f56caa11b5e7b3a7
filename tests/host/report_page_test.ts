/**
 * The page of `passthru report`, in a browser.
 */
import { assert, assertEquals } from "@std/assert";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import type { Topology } from "../../lib/sim/machine/topology.ts";
import { MACHINE } from "../unit/passthru/machine.ts";
import { call } from "../unit/passthru_bench.ts";
import { onPath } from "./programs.ts";

/** The most that a page of 1,000 functions may take, in processor seconds. */
const LOAD_SECONDS = 3;
/** The most that a search in it may take, in processor seconds. */
const SEARCH_SECONDS = 0.3;

/** A thousand functions: ports with network cards and graphics cards. */
function largeMachine(): Topology {
  const functions: Record<string, unknown> = {};
  for (let i = 0; i < 100; i++) {
    const bus = (i + 1).toString(16).padStart(2, "0");
    const slot = (i >> 3).toString(16).padStart(2, "0");
    const behind = `0000:00:${slot}.${i & 7}`;
    functions[behind] = { id: "8086:a110", class: 0x060400 };
    functions[`0000:${bus}:00.0`] = {
      id: "8086:10c9",
      class: 0x020000,
      behind,
      driver: "igb",
      sriov: { total: 7, enabled: 7, id: "8086:10ca", driver: "igbvf" },
    };
    functions[`0000:${bus}:00.1`] = { id: "10de:2204", behind };
  }
  return { functions } as Topology;
}

/** A browser, and the reports that it opens. */
class Pages implements AsyncDisposable {
  readonly #folder: string;
  readonly #browser: Browser;

  private constructor(folder: string, browser: Browser) {
    this.#folder = folder;
    this.#browser = browser;
  }

  static async start(): Promise<Pages> {
    const { chromium } = await import("playwright-core");
    const folder = await Deno.makeTempDir();
    const browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
      ],
    });
    return new Pages(folder, browser);
  }

  /**
   * Opens the report of a host.
   *
   * @returns The page, and what it has asked for or complained about.
   */
  async open(
    topology: Topology,
    options: BrowserContextOptions = {},
  ): Promise<{ readonly page: Page; readonly heard: readonly string[] }> {
    const { out } = await call(topology, ["report"]);
    const path = `${this.#folder}/host.html`;
    await Deno.writeTextFile(path, out);
    const context = await this.#browser.newContext({
      offline: true,
      ...options,
    });
    const page = await context.newPage();
    const heard: string[] = [];
    page.on("request", (request) => heard.push(request.url()));
    page.on("console", (message) => heard.push(message.text()));
    page.on("pageerror", (error) => heard.push(error.message));
    await page.goto(`file://${path}`);
    assertEquals(heard.shift(), `file://${path}`);
    return { page, heard };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** How long the page's own thread has worked, in seconds. */
async function work(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")!.value;
  };
}

/** What is tested, by name. */
const STEPS: Readonly<Record<string, (pages: Pages) => Promise<void>>> = {
  async "it is accessible, light and wide, dark and narrow"(pages) {
    const { default: { source } } = await import("axe-core");
    const shapes = [["light", 1200], ["dark", 360]] as const;
    for (const [colorScheme, width] of shapes) {
      const { page } = await pages.open(MACHINE, {
        bypassCSP: true,
        colorScheme,
        viewport: { width, height: 800 },
      });
      await page.locator("details").evaluateAll((all) => {
        for (const each of all) each.setAttribute("open", "");
      });
      await page.addScriptTag({ content: source });
      const problems = await page.evaluate(`axe.run().then(
        ({ violations }) => violations.map(({ id, nodes }) =>
          id + ": " + nodes.map(({ html }) => html).join()))`);
      assertEquals(problems, []);
      assert(
        await page.evaluate(
          "document.documentElement.scrollWidth <= innerWidth",
        ),
        `it is wider than ${width}`,
      );
    }
  },

  async "it asks for nothing, and works by keyboard alone"(pages) {
    const { page, heard } = await pages.open(MACHINE);
    const focused = (): Promise<string> =>
      page.evaluate("document.activeElement.textContent.trim()");
    await page.keyboard.press("Tab");
    assertEquals(await focused(), "What the doctor finds");
    // Past the drawing, which has a link for each function.
    for (const key of ["Tab", "Tab", "Enter", "Tab"]) {
      await page.keyboard.press(key);
    }
    await page.keyboard.type("VFIO-pci 0000:80:01.0");
    const shown = page.locator(".function:visible");
    assertEquals(await shown.count(), 1);
    assertEquals(await page.locator("output").textContent(), "1 of 9");
    await page.keyboard.press("Tab");
    assert((await focused()).startsWith("0000:80:01.0"));
    await page.keyboard.press("Enter");
    assertEquals(await shown.getAttribute("open"), "");
    // A link of the drawing opens what the search has hidden.
    await page.locator('.drawing a[href="#f-0000:01:00.0"]').focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(
      "document.activeElement.textContent.trim().startsWith('0000:01:00.0')",
    );
    assertEquals(await shown.count(), 2);
    assertEquals(heard, []);
  },
  async "it prints all that its search shows, and is as before then"(pages) {
    const { page } = await pages.open(MACHINE);
    const open = page.locator("details[open]");
    assertEquals(await open.count(), 0);
    const all = await page.locator("details").count();
    await page.evaluate(`addEventListener("beforeprint", () => {
    window.printed = document.querySelectorAll("details[open]").length;
  })`);
    await page.pdf();
    assertEquals(await page.evaluate("window.printed"), all);
    assertEquals(await open.count(), 0);
  },
  async "it has everything without its script"(pages) {
    const { page } = await pages.open(MACHINE, { javaScriptEnabled: false });
    assertEquals(await page.locator(".function").count(), 9);
    assertEquals(await page.locator(".search").isVisible(), false);
    await page.locator(".function summary").first().click();
    assert(await page.locator(".function dl").first().isVisible());
  },
  async "it is shown with 1,000 functions and searched fast"(pages) {
    const { page } = await pages.open(largeMachine());
    const seconds = await work(page);
    await page.reload();
    await page.screenshot();
    const loaded = await seconds();
    assert(loaded < LOAD_SECONDS, `it takes ${loaded} s to load`);
    const { length } = "igbvf 03:10";
    await page.locator("input").pressSequentially("igbvf 03:10");
    assertEquals(await page.locator("output").textContent(), "7 of 1000");
    const each = (await seconds() - loaded) / length;
    assert(each < SEARCH_SECONDS, `a key takes ${each} s`);
  },
};

const ignore = !onPath("chromium");

Deno.test({
  name: "a report in a browser" +
    (ignore ? " (skipped: chromium is not installed)" : ""),
  ignore,
  // The browser's driver keeps some.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using pages = await Pages.start();
    for (const [name, step] of Object.entries(STEPS)) {
      await t.step(name, () => step(pages));
    }
  },
});
