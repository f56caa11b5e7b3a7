/**
 * The style of a report, and its script, which only makes it easier to read.
 *
 * @module
 */

/** The style. The drawing has its own. */
export const REPORT_STYLE = `
:root { color-scheme: light dark; --page: #f6f7f9; --panel: #fff;
  --ink: #1b2430; --faint: #4d5b6d; --line: #d5dbe3; --link: #1d4f91;
  --pass: #1b6b37; --warn: #7d5200; --fail: #a3211b; }
@media (prefers-color-scheme: dark) {
:root { --page: #12161c; --panel: #1a2029; --ink: #e6ebf2; --faint: #a9b5c5;
  --line: #3f4b5c; --link: #8ab8f0; --pass: #7fd39a; --warn: #eab65c;
  --fail: #f2918b; }
}
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
a { color: var(--link); }
code, .mono { font-family: ui-monospace, Menlo, Consolas, monospace; }
.drawing { overflow: auto; max-height: 85vh; border: 1px solid var(--line);
  border-radius: .3rem; }
.drawing a:focus-visible .ink { text-decoration: underline; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
.findings { list-style: none; margin: .6rem 0; padding: 0; }
.findings li { display: grid; grid-template-columns: 5.2rem 1fr;
  padding: .15rem 0; overflow-wrap: anywhere; }
.findings b, summary b { font-size: .85em; border: 1px solid;
  border-radius: .3rem; padding: 0 .4rem; justify-self: start;
  align-self: start; }
.pass b { color: var(--pass); } .warn b, .unknown b { color: var(--warn); }
.fail b { color: var(--fail); }
.remedy { display: block; color: var(--faint); }
details { background: var(--panel); border: 1px solid var(--line);
  border-radius: .3rem; margin: .3rem 0; padding: .4rem .7rem; }
.function { content-visibility: auto; contain-intrinsic-size: auto 2.4rem; }
details:target, details:has(:target) { outline: 2px solid var(--link); }
summary { cursor: pointer; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: minmax(5rem, auto) 1fr;
  gap: .1rem 1rem; margin: .6rem 0; }
dt { color: var(--faint); }
dd { margin: 0; white-space: pre-line; overflow-wrap: anywhere; }
input { font: inherit; width: min(100%, 24rem); box-sizing: border-box;
  padding: .3rem .5rem; background: var(--panel); color: var(--ink);
  border: 1px solid var(--faint); }
[hidden] { display: none; }
@media print { body { max-width: none; background: none; }
  .search, nav { display: none; } details { break-inside: avoid; outline: none !important; }
  .function { content-visibility: visible; }
  .drawing { overflow: visible; max-height: none; } .drawing svg { max-width: 100%;
  height: auto; } }`;

/**
 * The script: the search, and opening what a link or a print asks for. Without
 * it everything is there too.
 */
export const REPORT_SCRIPT = `
const functions = [...document.querySelectorAll(".function")];
const texts = new Map();
const search = document.querySelector("input");
const count = document.querySelector("output");
document.querySelector(".search").hidden = false;
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let shown = 0;
  for (const each of functions) {
    if (!texts.has(each)) texts.set(each, each.textContent.toLowerCase());
    const hidden = !words.every((word) => texts.get(each).includes(word));
    if (each.hidden !== hidden) each.hidden = hidden;
    if (!hidden) shown++;
  }
  count.textContent = shown + " of " + functions.length;
});
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.matches(".function")) return;
  target.hidden = false;
  target.open = true;
  target.querySelector("summary").focus();
  target.scrollIntoView();
};
addEventListener("hashchange", open);
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of closed) each.open = false;
});
open();
`;
