import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { simulate } from "../../../lib/sim/mod.ts";
import { renderReport } from "../../../scripts/passthru/output/report.ts";
import { snapshotText } from "../../../scripts/passthru/run/snapshot_text.ts";
import { call, json } from "../passthru_bench.ts";
import { MACHINE } from "./machine.ts";

Deno.test("passthru report writes a page that needs no other file", async () => {
  const { code, out, err } = await call(MACHINE, ["report"]);
  assertEquals([code, err], [0, ""]);
  assert(out.startsWith("<!doctype html>\n"));
  assertEquals(/(?:src|href)="(?!#)/.test(out), false);
  assertEquals(
    /url\(|@import|https?:(?!\/\/www\.w3\.org\/2000\/svg)/.test(out),
    false,
  );
});

Deno.test("passthru report has every function, which the drawing leads to", async () => {
  const host = simulate(MACHINE);
  const { out } = await call(host, ["report"]);
  const parts = [...out.matchAll(/<details class="function" id="f-([^"]+)">/g)]
    .map(([, id]) => id);
  assertEquals(parts, host.functions().map(({ address }) => address));
  const links = [...out.matchAll(/<a href="#f-([^"]+)">/g)].map(([, id]) => id);
  assertEquals(links.toSorted(), parts.toSorted());
  assertStringIncludes(out, `role="group"`);
  assertStringIncludes(out, "<dt>driver</dt><dd>igb</dd>");
});

Deno.test("passthru report escapes the names of a host", async () => {
  const { out } = await call(MACHINE, ["report"]);
  assertStringIncludes(out, "82576 &lt;b&gt;&quot;fast&quot;&lt;/b&gt; &amp; ");
  assertEquals(out.includes('<b>"fast"'), false);
  assertEquals(out.includes("\u0007"), false);
  const snapshot = { name: "</script><x>" };
  const page = renderReport({
    tree: { buses: [], sharedGroups: [] },
    diagnosis: { functions: [], findings: [], fit: true },
    functions: [],
    snapshot,
  });
  assertEquals(page.includes("</script><x>"), false);
  assertEquals(JSON.parse(snapshotText(page)), snapshot);
});

Deno.test("passthru report runs nothing but its own script", async () => {
  const { out } = await call(MACHINE, ["report"]);
  const [, hash] = /script-src 'sha256-([^']+)'/.exec(out)!;
  const [, script] = /<script>(.*?)<\/script>/s.exec(out)!;
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(script),
  );
  assertEquals(new Uint8Array(digest).toBase64(), hash);
  assertEquals([...out.matchAll(/<script/g)].length, 2);
});

Deno.test("passthru report tells the doctor's findings at their devices", async () => {
  const { out } = await call(MACHINE, ["report"]);
  const { findings } = await json(MACHINE, ["doctor"]);
  assert(findings.length > 0);
  assertEquals([...out.matchAll(/<li class=/g)].length, findings.length);
  const withDevice = findings.filter(({ device }: { device: string | null }) =>
    device !== null
  );
  for (const { device } of withDevice) {
    const [, part = ""] = new RegExp(
      `<details class="function" id="f-${device}">(.*?)</details>`,
      "s",
    ).exec(out)!;
    assertStringIncludes(part, "<li class=");
  }
});

Deno.test("passthru --simulate takes a report for its snapshot", async () => {
  const host = simulate(MACHINE);
  const { out } = await call(host, ["report"]);
  assertEquals(JSON.parse(snapshotText(out)), await host.snapshot());
  const files = { "host.html": out };
  const there = await call(host, ["list"]);
  const here = await call({}, ["--simulate", "host.html", "list"], { files });
  assertEquals(here.out.split("\n").length, there.out.split("\n").length);
  const kept = await call({}, [
    ...["--simulate", "host.html", "--keep", "bind", "01:00.0"],
  ], { files });
  assertEquals(kept.code, 2);
  assertStringIncludes(kept.err, "--keep would replace the report");
  const empty = await call({}, ["--simulate", "x.html", "list"], {
    files: { "x.html": "<!doctype html><p>" },
  });
  assertEquals(empty.code, 2);
  assertStringIncludes(empty.err, "the page has no snapshot");
});

Deno.test("passthru report has no host name, serial number or MAC address", async () => {
  const { out } = await call({
    ...MACHINE,
    functions: {
      "0000:01:00.0": {
        id: "8086:10c9",
        driver: "igb",
        network: "eth0",
        serial: "a0-36-9f-ff-ff-12-34-56",
      },
    },
    files: {
      "/proc/sys/kernel/hostname": "secret-host\n",
      "/etc/hostname": "secret-host\n",
    },
  }, ["report"]);
  assertEquals(/secret-host|a0-36-9f|a0:36:9f/.test(out), false);
});
