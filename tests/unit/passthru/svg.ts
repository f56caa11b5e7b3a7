import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import type {
  FunctionTopology,
  Topology,
} from "../../../lib/sim/machine/topology.ts";
import { layOut } from "../../../scripts/passthru/output/svg_layout.ts";
import { renderSvg } from "../../../scripts/passthru/output/svg.ts";
import { BRIDGE, MACHINE, NIC, treeOf, UNNAMED } from "./machine.ts";

/** An element that a start tag begins: its name, attributes and content. */
interface Element {
  readonly name: string;
  readonly attributes: Record<string, string>;
  readonly children: Element[];
  text: string;
}

/** Parses the XML of drawings. Throws where it is not well-formed. */
function parse(xml: string): Element {
  const root: Element = { name: "", attributes: {}, children: [], text: "" };
  const open = [root];
  let at = 0;
  for (
    const match of xml.matchAll(
      /<(\/?)(\w+)((?: [\w:-]+="[^"<&]*(?:&#?\w+;[^"<&]*)*")*)(\/?)>/g,
    )
  ) {
    const [tag, close, name = "", attributes = "", empty] = match;
    const between = xml.slice(at, match.index);
    assert(
      !/[<>]|&(?!#?\w+;)/.test(between.replace(/[\s\S]*\{[\s\S]*/, "")),
      between,
    );
    open.at(-1)!.text += between;
    at = match.index + tag.length;
    if (close === "/") {
      assertEquals(open.pop()!.name, name);
      continue;
    }
    const element: Element = {
      name,
      attributes: Object.fromEntries(
        [...attributes.matchAll(/([\w:-]+)="([^"]*)"/g)]
          .map(([, key, value]) => [key, value]),
      ),
      children: [],
      text: "",
    };
    open.at(-1)!.children.push(element);
    if (empty !== "/") open.push(element);
  }
  assertEquals(open.length, 1, "an element is not closed");
  assertEquals(xml.slice(at).trim(), "");
  assertEquals(root.children.length, 1);
  return root.children[0]!;
}

/** Elements of a class, or titles in them. */
function all(element: Element, kind: string): Element[] {
  return [
    ...element.attributes["class"]?.split(" ").includes(kind) ? [element] : [],
    ...element.children.flatMap((child) => all(child, kind)),
  ];
}

function legendIn({ children }: Element): Element {
  return children.find(({ attributes }) => attributes["transform"])!;
}

const titleOf = ({ children }: Element) =>
  children.find(({ name }) => name === "title")?.text;

Deno.test("renderSvg() returns well-formed XML with a title and a description", () => {
  const svg = parse(renderSvg(treeOf(MACHINE)));
  const { name, attributes, children } = svg;
  assertEquals(name, "svg");
  assertEquals(attributes["xmlns"], "http://www.w3.org/2000/svg");
  assertEquals(attributes["role"], "img");
  assertEquals(attributes["aria-labelledby"], "title desc");
  assertEquals(
    children.slice(0, 2).map(({ name, attributes, text }) => [
      name,
      attributes["id"],
      text,
    ]),
    [
      ["title", "title", "IOMMU groups"],
      ["desc", "desc", "9 functions in 7 IOMMU groups, behind their bridges"],
    ],
  );
});

Deno.test("renderSvg() returns an image that needs no other file", () => {
  const text = renderSvg(treeOf(MACHINE));
  const outside = [...text.matchAll(/https?:\/\/[^"\s]+/g)].map(([url]) => url);
  assertEquals(outside, ["http://www.w3.org/2000/svg"]);
  assertEquals(
    /<(?:script|image|use|foreignObject)|url\(|@import/.test(text),
    false,
  );
});

Deno.test("renderSvg() draws every function once, with a full title", () => {
  const svg = parse(renderSvg(treeOf(MACHINE)));
  assertEquals(all(svg, "node").length, 6);
  assertEquals(all(svg, "cellnode").length, 3);
  const titles = [...all(svg, "node"), ...all(svg, "cellnode")].map(titleOf);
  assertEquals(
    titles.map((title) => title!.slice(0, 12)).sort(),
    [
      "0000:00:01.0",
      "0000:00:1f.0",
      "0000:01:00.0",
      "0000:01:10.0",
      "0000:01:10.2",
      "0000:01:10.4",
      "0000:02:00.0",
      "0000:02:00.1",
      "0000:80:01.0",
    ],
  );
  assert(titles.some((title) => title!.endsWith("no driver; no IOMMU group")));
});

Deno.test("renderSvg() escapes names", () => {
  const text = renderSvg(treeOf(MACHINE));
  assertEquals(text.includes("<b>"), false);
  assertEquals(text.includes("\u0007"), false);
  assertStringIncludes(
    text,
    "Intel Corporation 82576 &lt;b&gt;&quot;fast&quot;&lt;/b&gt; &amp; " +
      "&#39;sound&#39; �",
  );
});

Deno.test("renderSvg() draws boxes round groups, and marks shared ones", () => {
  const svg = parse(renderSvg(treeOf(MACHINE)));
  const boxes = {
    ...svg,
    children: svg.children.filter((child) => child !== legendIn(svg)),
  };
  assertEquals(all(boxes, "group").length, 3);
  assertEquals(all(boxes, "shared").length, 1);
  assertEquals(all(boxes, "outside").length, 1);
  const titles = svg.children.flatMap((child) => titleOf(child) ?? [])
    .find((title) => title.includes("share"));
  assertMatch(
    titles!,
    /^IOMMU group \d+, which 2 functions share: slot 0000:02:00 has no ACS$/,
  );
});

Deno.test("renderSvg() draws each driver in a different colour, which the legend has", () => {
  const text = renderSvg(treeOf(MACHINE));
  const svg = parse(text);
  const colourOf = ({ children }: Element) =>
    children.find(({ name, attributes }) =>
      name === "rect" && !attributes["class"]
    )
      ?.attributes["fill"];
  const legend = new Map(
    legendIn(svg).children
      .filter(({ children }) => !children[0]!.attributes["class"])
      .map((entry) => [
        entry.children.at(-1)!.text,
        colourOf(entry),
      ]),
  );
  assertEquals([...legend.keys()], [
    "vfio-pci × 3",
    "igbvf × 2",
    "e1000e × 1",
    "igb × 1",
    "pcieport × 1",
    "no driver × 1",
  ]);
  assertEquals(new Set(legend.values()).size, legend.size);
  for (const node of [...all(svg, "node"), ...all(svg, "cellnode")]) {
    const [, driver] = /driver (\S+);/.exec(titleOf(node)!) ?? [];
    const key = [...legend.keys()].find((name) =>
      name.startsWith(`${driver} `)
    );
    assertEquals(colourOf(node), legend.get(key ?? "no driver × 1"));
  }
});

Deno.test("renderSvg() explains its boxes in the legend when there are such", () => {
  const explained = (topology: Topology) => {
    const svg = parse(renderSvg(treeOf(topology)));
    return legendIn(svg).children.flatMap(({ children: [patch, label] }) =>
      patch!.attributes["class"] === undefined
        ? []
        : [[patch!.attributes["class"], label!.text]]
    );
  };
  assertEquals(explained(MACHINE), [
    ["shared", "shared group"],
    ["outside", "no IOMMU group"],
  ]);
  assertEquals(explained({ functions: { "0000:01:00.0": NIC } }), []);
});

/** The texts of a row, each with where it begins and ends. */
function spans(row: Element): { text: string; from: number; to: number }[] {
  return row.children.filter(({ name }) => name === "text").map(
    ({ text, attributes }) => {
      const mono = attributes["class"]!.includes("mono");
      const length = text.length * (mono ? 7.3 : 7);
      const x = Number(attributes["x"]);
      const from = attributes["text-anchor"] === "end" ? x - length : x;
      return { text, from, to: from + length };
    },
  );
}

Deno.test("renderSvg() lets no text overlap another when names and numbers are long", () => {
  const driver = "a_driver_of_a_vendor_that_gives_long_names_to_all_it_makes";
  const svg = parse(renderSvg(treeOf({
    functions: {
      "0000:00:01.0": { ...BRIDGE, acs: false },
      "0000:01:00.0": { ...NIC, behind: "0000:00:01.0", driver },
      "0000:02:00.0": { ...NIC, driver: "snd_soc_avs", group: 2_147_483_647 },
      "0000:03:00.0": {
        ...NIC,
        driver: "igb",
        group: 1000,
        sriov: { total: 7, enabled: 7, id: "8086:10ca" },
      },
      "0000:03:10.0": { group: 1234 },
    },
  })));
  const rows = [...all(svg, "node"), ...all(svg, "cellnode")];
  const groups = svg.children.filter(({ children }) =>
    ["group", "shared"].includes(children[1]?.attributes["class"] ?? "")
  ).flatMap(spans);
  for (const row of rows) {
    const texts = spans(row);
    const end = Math.max(...texts.map(({ to }) => to));
    for (const [i, { from }] of texts.entries()) {
      if (i > 0) assert(from > texts[i - 1]!.to, JSON.stringify(texts));
    }
    if (row.attributes["class"] !== "node") continue;
    for (const { from, text } of groups) assert(from > end, text);
  }
  for (const { attributes, children: [, label] } of legendIn(svg).children) {
    const [, x] = /translate\((\d+(?:\.\d+)?) /.exec(attributes["transform"]!)!;
    const end = 24 + Number(x) + 18 + label!.text.length * 7;
    assert(end <= Number(svg.attributes["width"]), label!.text);
  }
});

Deno.test("renderSvg() shows the id of a function that pci.ids does not have", () => {
  const words = all(parse(renderSvg(treeOf(UNNAMED))), "node")
    .map((row) => spans(row)[1]!.text);
  assertMatch(words[0]!, / device fff4$/);
  assertMatch(words[1]!, / 1234:fff5$/);
});

Deno.test("renderSvg() finds colours when there are more drivers than in its list", () => {
  const functions = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [
      `0000:00:${i.toString(16).padStart(2, "0")}.0`,
      { ...NIC, driver: `driver${i}` },
    ]),
  );
  const fills = new Set(
    [...renderSvg(treeOf({ functions })).matchAll(/rx="2" fill="([^"]+)"/g)]
      .map(([, fill]) => fill),
  );
  assertEquals(fills.size, 30);
});

/** A machine with a number of slots, half of them behind ports. */
function large(count: number): Topology {
  const functions: Record<string, FunctionTopology> = {};
  const hex = (n: number) => n.toString(16).padStart(2, "0");
  for (let i = 0; i < count / 2; i++) {
    const port = `0000:${hex(16 * (i >> 4))}:${hex(i & 15)}.0`;
    functions[port] = BRIDGE;
    functions[`0000:${hex(16 * (i >> 4) + 1 + (i & 7))}:${hex(i & 15)}.0`] = {
      ...NIC,
      behind: port,
    };
  }
  return { functions };
}

for (const count of [8, 20, 64, 200]) {
  Deno.test(`layOut() lets nothing overlap, and keeps all inside, when there are ${count} functions`, () => {
    const top = 80;
    const { nodes, groups, panels, width, height } = layOut(
      treeOf(large(count)),
      top,
    );
    assertEquals(nodes.length, count);
    for (const boxes of [nodes, groups, panels]) {
      for (const [i, a] of boxes.entries()) {
        assert(a.x >= 0 && a.x + a.width <= width);
        assert(a.y >= top && a.y + a.height <= height);
        const overlapping = boxes.slice(i + 1).filter((b) =>
          a.x < b.x + b.width && b.x < a.x + a.width &&
          a.y < b.y + b.height && b.y < a.y + a.height
        );
        assertEquals(overlapping, [], JSON.stringify(a));
      }
    }
    // Neither very wide nor very tall.
    if (count >= 64) assert(width / height > 0.8 && width / height < 2.6);
  });
}

Deno.test("layOut() puts each function into a box of its group", () => {
  const { nodes, groups } = layOut(treeOf(MACHINE), 0);
  for (const { node, x, y, height } of nodes) {
    assert(
      groups.some((box) =>
        box.group === node.group && box.x <= x && box.y <= y &&
        y + height <= box.y + box.height
      ),
      node.address,
    );
  }
});

Deno.test("renderSvg() draws a host without functions", () => {
  const svg = parse(renderSvg({ buses: [], sharedGroups: [] }));
  assertEquals(all(svg, "node"), []);
  assert(Number(svg.attributes["width"]) > 0);
});
