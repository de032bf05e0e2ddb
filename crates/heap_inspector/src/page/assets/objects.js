// Objects to walk through: each with what it holds, what holds it, what only it holds, and the way from a root.
import { button, clear, copy, edge, h, name, put, unique } from "./elements.js";
import { allObjects, data, fetchObject, link, object, served } from "./data.js";
import { table } from "./table.js";
import { bytes, code, count, plural, safe } from "./text.js";

const LONGEST_WAY = 200;

// From the object to the root as far as the page has it, the root's end first.
function wayTo(start) {
  const way = [];
  const met = new Set();
  let at = start;
  while (at && !met.has(at.address) && way.length < LONGEST_WAY) {
    met.add(at.address);
    way.unshift(at);
    if (!at.before) return { way, whole: true };
    at = object(at.before);
  }
  return { way, whole: false };
}

function path(one) {
  if (!one.reachable) return h("p", {}, "No root leads to it: it is garbage that was not collected yet, or only held weakly.");
  const { way, whole } = wayTo(one);
  const most = Math.max(...way.map((step) => step.retained), 1);
  const rows = way.map((step) => {
    const bar = h("span", { class: "fill", "aria-hidden": "true" });
    bar.style.setProperty("--part", step.retained / most);
    return h("li", { class: step === one ? "accumulates" : null }, h("span", { class: "edge" }, step.held ? edge(step.held) : "refers to"),
      h("span", { class: "node" }, step === one ? name(step.label) : link(step.address, step.label)),
      h("span", { class: "retains" }, bar, h("span", { class: "unseen" }, "retains "), bytes(step.retained)));
  });
  if (!whole) rows.unshift(h("li", { class: "gap" }, h("span", { class: "node" }, "what stands before is not on this page")));
  const markdown = () => way.map((step) => `1. ${step.held ? `${code(step.held)} → ` : ""}${code(step.label)} ${code(step.address)}, retains ${bytes(step.retained)}`).join("\n");
  return [h("ol", { class: "path" }, rows), button("Copy as Markdown", (event) => copy(`${markdown()}\n`, event.currentTarget), { class: "quiet" })];
}

function around(title, id, rows, rest, edges = true) {
  const columns = [
    edges && { name: "edge", title: "By", label: true },
    { name: "object", title: "Object", label: true },
    { name: "address", title: "Address", label: true },
    { name: "memsize", title: "Own" },
    { name: "retained_memsize", title: "Retained" },
  ].filter(Boolean);
  const cells = ([edge, address, label, own, retained]) => [
    edges && (edge ? ["text", edge] : ["none", "–"]), ["text", label], ["text", address],
    own === null ? null : ["bytes", own], retained === null ? null : ["bytes", retained],
  ].filter((cell) => cell !== false);
  if (!rows.length) return null;
  return table({ id, title: rest ? `${title}: ${count(rows.length)} of ${count(rows.length + rest)}` : title, columns, rows: rows.map(cells), first: 20 });
}

const place = h("div", { class: "panel", id: "object" });

export function show(address) {
  const one = object(address);
  clear(place);
  if (!one) {
    put(place, [h("h3", { tabindex: -1 }, "This object is not on the page"), h("p", {}, name(address), ` is not among the ${count(served ? data.object_count : data.embedded)} of ${count(data.object_count)} objects that can be walked through here. `, "Ask the dump: ", h("code", {}, `heap_inspector show DUMP ${address}`))]);
    return false;
  }
  const facts = [
    ["Address", name(one.address)],
    ["Class", link(one.class_address, one.class)],
    ["Own memory", bytes(one.own)],
    ["Retains", `${bytes(one.retained)} in ${plural(one.retained_count, "object")}`],
    one.location && ["Allocated at", name(one.location)],
    one.app_location && ["In the app at", name(one.app_location)],
    one.generation !== null && ["Generation", count(one.generation)],
    ["Dominated by", one.dominator ? link(one.dominator, one.dominator_label) : one.reachable ? "the roots together" : "nothing"],
    ...one.fields.map(([key, value]) => [safe(key), name(value)]),
  ].filter(Boolean);
  put(place, [
    h("p", { class: "eyebrow" }, h("span", {}, "Object"), h("a", { class: "anchor", href: `#object/${one.address}`, "aria-label": "Link to this object" }, "#")),
    h("h3", { tabindex: -1, class: "object-title" }, name(one.label)),
    h("div", { class: "facts" }, h("dl", {}, facts.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))))),
    h("h4", {}, "Why it is alive"), path(one),
    around("Refers to", "object-to", one.to, one.rest_to),
    around("Referred to by", "object-from", one.from, one.rest_from),
    around("Dominates", "object-below", one.below, one.rest_below, false),
  ]);
  return true;
}

export async function follow(address) {
  try {
    await fetchObject(address);
  } catch {
    // It is none, which is what is shown then.
  }
  show(address);
  place.scrollIntoView({ block: "start" });
  place.querySelector("h3").focus({ preventScroll: true });
}

export function objectsView() {
  const columns = [
    { name: "retained_memsize", title: "Retained" },
    { name: "retained_count", title: "Objects" },
    { name: "memsize", title: "Own" },
    { name: "object", title: "Object", label: true },
    { name: "address", title: "Address", label: true },
    { name: "location", title: "Allocated at", label: true },
    { name: "held_by", title: "Held by", label: true },
  ];
  const rows = data.holders.map(([address, label, own, retained, objects, location, held]) => [
    ["bytes", retained], ["count", objects], ["bytes", own], ["text", label], ["text", address], location ? ["text", location] : null, held ? ["text", held] : null,
  ]);
  const known = new Set(allObjects().map((one) => one.address));
  const id = unique("address");
  const input = h("input", { id, type: "search", placeholder: "0x7f…", autocomplete: "off", spellcheck: "false" });
  const form = h("form", { class: "tools", onsubmit: (event) => {
    event.preventDefault();
    const digits = input.value.trim().toLowerCase().replace(/^0x/, "");
    if (/^[0-9a-f]{1,16}$/.test(digits)) location.hash = `#object/0x${digits}`;
  } }, h("label", { for: id }, "Go to an address"), input, h("button", { type: "submit", class: "quiet" }, "Go"));
  const start = data.suspects[0]?.address;
  const begin = start && known.has(start) ? start : data.holders.map((row) => row[0]).find((address) => known.has(address));
  if (begin) show(begin);
  return [form, table({ id: "holders", title: "Objects that retain most", columns, rows }), place];
}
