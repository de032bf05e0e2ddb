// The dominator tree as icicle or treemap: who holds how much. Zooms, is searched and filtered.
import { button, clear, h, name, put, tip, unique } from "./elements.js";
import { data, link, object } from "./data.js";
import { go } from "./notes.js";
import { bytes, count, percent, plural, safe } from "./text.js";

const LEVELS = 14;
const ROW = 26;
// A smaller part of the width is not drawn.
const LEAST = 1 / 700;
const MAP_LEVELS = 3;

function kind(label) {
  const word = label.replace(/^[\d,]+ × /, "");
  // Words for what has no name.
  if (/^\(([A-Z]+[ )]|allocation tracer\)|class 0x|no |none\)|untraced\))/.test(word)) return "internal";
  if (/^(String|Symbol)\b/.test(word)) return "string";
  if (/^(Array|Hash|Set)\b/.test(word)) return "collection";
  if (/^(Class|Module|class|module|singleton class)\b/.test(word)) return "class";
  return "app";
}

// Rows one behind the other become nodes under nodes.
function grow({ rows }) {
  const root = { label: "All that the roots hold", count: 0, own: 0, retained: data.reachable.bytes, objects: data.reachable.count, below: [], above: null, depth: -1 };
  const way = [root];
  for (const [depth, label, number, own, retained, objects, address, location, edge] of rows) {
    const above = way[Math.min(depth, way.length - 1)];
    const node = { label, count: number, own, retained, objects, address, location, edge, below: [], above, depth: above.depth + 1 };
    above.below.push(node);
    way.length = node.depth + 1;
    way.push(node);
  }
  return root;
}

const title = (node) => (node.count > 1 && !node.address ? `${count(node.count)} × ${node.label}` : node.label);

function wayTo(node) {
  const way = [];
  for (let at = node; at; at = at.above) way.unshift(at);
  return way;
}

const place = (node) => wayTo(node).slice(1).map((one) => one.above.below.indexOf(one)).join(".");

// Squarified: Bruls, Huizing, van Wijk, 2000. Areas in the order of their sizes, as square as they can be.
function squares(nodes, x, y, width, height, total) {
  const placed = [];
  let left = nodes.filter((node) => node.retained > 0);
  let sum = total;
  while (left.length && width > 1 && height > 1 && sum > 0) {
    const side = Math.min(width, height);
    const area = (width * height) / sum;
    const row = [];
    let rowSum = 0;
    const worst = (all, size) => {
      const sizes = all.map((node) => node.retained);
      const [most, least] = [Math.max(...sizes) * area, Math.min(...sizes) * area];
      const whole = size * area;
      return Math.max((side * side * most) / (whole * whole), (whole * whole) / (side * side * least));
    };
    for (const node of left) {
      if (row.length && worst([...row, node], rowSum + node.retained) > worst(row, rowSum)) break;
      row.push(node);
      rowSum += node.retained;
    }
    const thick = (rowSum * area) / side;
    let along = 0;
    for (const node of row) {
      const long = (node.retained * area) / thick;
      placed.push(width >= height ? [node, x, y + along, thick, long] : [node, x + along, y, long, thick]);
      along += long;
    }
    if (width >= height) [x, width] = [x + thick, width - thick];
    else [y, height] = [y + thick, height - thick];
    sum -= rowSum;
    left = left.slice(row.length);
  }
  return placed;
}

export function treeView() {
  const trees = data.trees.map((tree) => ({ ...tree, root: null }));
  const state = { tree: trees[0], form: "icicle", at: null, search: "", only: false, focus: null };
  const drawing = h("div", { class: "drawing", role: "group", "aria-label": "Dominator tree. Arrow keys move, Enter zooms in, Escape zooms out.", tabindex: -1 });
  const crumbs = h("ol", { class: "crumbs" });
  const picked = h("div", { class: "picked", "aria-live": "polite" });
  const found = h("span", { class: "status", role: "status" });

  const radios = (label, options, current, onchange) => {
    const group = unique("choice");
    return h("fieldset", { class: "choice" }, h("legend", { class: "unseen" }, label), options.map(([value, words]) => {
      const id = unique("radio");
      const radio = h("input", { id, type: "radio", name: group, value, onchange: () => onchange(value) });
      radio.checked = value === current;
      return [radio, h("label", { for: id }, words)];
    }));
  };
  const byChoice = radios("By", trees.map((tree) => [tree.by, tree.by === "object" ? "Object by object" : `Merged by ${tree.title.toLowerCase()}`]), state.tree.by, (by) => { choose(by); show(); });
  const formChoice = radios("Form", [["icicle", "Icicle"], ["treemap", "Treemap"]], state.form, (form) => { state.form = form; draw(); });
  const searchId = unique("search");
  const search = h("input", { id: searchId, type: "search", placeholder: "Search", autocomplete: "off", spellcheck: "false", oninput: () => { state.search = search.value.trim().toLowerCase(); draw(); } });
  const onlyId = unique("only");
  const only = h("input", { id: onlyId, type: "checkbox", onchange: () => { state.only = only.checked; draw(); } });

  function choose(by) {
    state.tree = trees.find((tree) => tree.by === by) ?? trees[0];
    state.tree.root ??= grow(state.tree);
    state.at = state.tree.root;
    byChoice.querySelectorAll("input").forEach((radio) => { radio.checked = radio.value === state.tree.by; });
  }

  // Which nodes match, and which hold such.
  function marks() {
    if (!state.search) return null;
    const [hits, holds] = [new Set(), new Set()];
    const visit = [state.tree.root];
    while (visit.length) {
      const node = visit.pop();
      const text = `${node.label} ${node.location ?? ""} ${node.address ?? ""}`.toLowerCase();
      if (node.above && text.includes(state.search)) {
        hits.add(node);
        for (let at = node; at && !holds.has(at); at = at.above) holds.add(at);
      }
      visit.push(...node.below);
    }
    return { hits, holds };
  }

  function show() {
    draw();
    go(`tree/${state.tree.by}${state.at.above ? `/${place(state.at)}` : ""}`);
  }

  function zoom(node, focus = true) {
    state.at = node;
    tip.hide();
    show();
    if (focus) drawing.querySelector(".zoomed")?.focus({ preventScroll: true });
  }

  function lines(node) {
    const whole = state.tree.root.retained || 1;
    return [title(node), `retains ${bytes(node.retained)}, ${percent(node.retained / whole)} of the heap, ${plural(node.objects, "object")}`,
      node.above && `own ${bytes(node.own)}${node.count > 1 ? ` in ${plural(node.count, "object")}` : ""}`,
      node.edge && `held by ${node.edge}`, node.location && `allocated at ${node.location}`].filter(Boolean);
  }

  function pick(node) {
    const told = lines(node);
    picked.replaceChildren(h("p", {}, h("strong", {}, node.address ? link(node.address, node.label) : name(title(node))), " ", told.slice(1).join(" · "),
      node.address && !object(node.address) && h("span", { class: "remark" }, ` ${node.address}`)));
  }

  function box(node, marked, extra = "") {
    const hit = marked?.hits.has(node);
    const dim = marked && !hit && !marked.holds.has(node);
    const element = h("button", { type: "button", tabindex: -1, class: `box k-${node.above ? kind(node.label) : "root"} ${hit ? "hit" : ""} ${dim ? "dim" : ""} ${extra}`, "aria-label": safe(lines(node).join(", ")) }, !extra.includes("tiny") && h("span", { class: "label" }, title(node)));
    element.node = node;
    return element;
  }

  function icicle(marked) {
    const above = wayTo(state.at);
    const kept = (node) => !marked || !state.only || marked.holds.has(node) || marked.hits.has(node);
    const boxes = above.map((node, level) => {
      const element = box(node, marked, node === state.at ? "zoomed" : "above");
      Object.assign(element.style, { left: "0", width: "100%", top: `${level * ROW}px` });
      return element;
    });
    let deepest = above.length - 1;
    const visit = [[state.at, 0, 1, above.length]];
    while (visit.length) {
      const [node, left, width, level] = visit.pop();
      if (level - above.length >= LEVELS) continue;
      const scale = node.retained > 0 ? width / node.retained : 0;
      let x = left;
      for (const below of node.below.filter(kept)) {
        const own = below.retained * scale;
        if (own < LEAST) continue;
        const element = box(below, marked, own < 0.03 ? "tiny" : "");
        Object.assign(element.style, { left: `${x * 100}%`, width: `${own * 100}%`, top: `${level * ROW}px` });
        boxes.push(element);
        visit.push([below, x, own, level + 1]);
        deepest = Math.max(deepest, level);
        x += own;
      }
    }
    drawing.style.height = `${(deepest + 1) * ROW + 4}px`;
    return boxes;
  }

  function treemap(marked) {
    const [width, height] = [drawing.clientWidth || 800, Math.max(320, Math.min(innerHeight * 0.6, 560))];
    drawing.style.height = `${height}px`;
    const kept = (node) => !marked || !state.only || marked.holds.has(node) || marked.hits.has(node);
    const boxes = [];
    const visit = [[state.at, 0, 0, width, height, 0]];
    while (visit.length) {
      const [node, x, y, wide, high, level] = visit.shift();
      const element = box(node, marked, `${level === 0 ? "zoomed " : ""}tile ${wide < 34 || high < 16 ? "tiny" : ""}`);
      Object.assign(element.style, { left: `${(x / width) * 100}%`, top: `${y}px`, width: `${(wide / width) * 100}%`, height: `${high}px` });
      boxes.push(element);
      const head = 20;
      if (level >= MAP_LEVELS || wide < 40 || high < 46) continue;
      const inner = [x + 3, y + head, wide - 6, high - head - 3];
      for (const [below, ...area] of squares(node.below.filter(kept), ...inner, node.retained)) {
        if (area[2] >= 4 && area[3] >= 4) visit.push([below, ...area, level + 1]);
      }
    }
    return boxes;
  }

  function draw() {
    const marked = marks();
    clear(drawing);
    put(drawing, state.form === "icicle" ? icicle(marked) : treemap(marked));
    const first = drawing.querySelector(".zoomed");
    if (first) first.tabIndex = 0;
    found.textContent = marked ? `${plural(marked.hits.size, "row")} of this tree match` : "";
    clear(crumbs);
    put(crumbs, wayTo(state.at).map((node, at, way) => h("li", {}, at === way.length - 1 ? h("span", { "aria-current": "true" }, title(node)) : button(at === 0 ? "Roots" : title(node), () => zoom(node, false), { class: "quiet" }))));
    pick(state.at);
  }

  function move(element, key) {
    const { node } = element;
    const shown = [...drawing.querySelectorAll(".box")];
    const of = (wanted) => shown.find((one) => one.node === wanted);
    const siblings = (node.above?.below ?? [node]).map(of).filter(Boolean);
    const at = siblings.indexOf(element);
    switch (key) {
      case "ArrowDown": return node.below.map(of).find(Boolean);
      case "ArrowUp": return of(node.above);
      case "ArrowRight": return siblings[at + 1];
      case "ArrowLeft": return siblings[at - 1];
      case "Home": return siblings[0];
      case "End": return siblings[siblings.length - 1];
      default: return null;
    }
  }

  drawing.addEventListener("click", (event) => {
    const element = event.target.closest(".box");
    if (element) zoom(element.node);
  });
  drawing.addEventListener("keydown", (event) => {
    const element = event.target.closest(".box");
    if (!element) return;
    if (event.key === "Escape" && state.at.above) {
      event.preventDefault();
      zoom(state.at.above);
      return;
    }
    const next = move(element, event.key);
    if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") event.preventDefault();
    if (!next) return;
    element.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  drawing.addEventListener("focusin", (event) => { if (event.target.node) pick(event.target.node); });
  drawing.addEventListener("pointermove", (event) => {
    const element = event.target.closest(".box");
    if (element) tip.show(lines(element.node), event.clientX, event.clientY);
    else tip.hide();
  });
  drawing.addEventListener("pointerleave", () => tip.hide());
  addEventListener("resize", () => { if (state.form === "treemap") draw(); });

  choose(state.tree.by);
  const whole = h("div", { class: "tree", id: "tree-view" },
    h("div", { class: "controls" }, byChoice, formChoice,
      h("div", { class: "tools" }, h("label", { class: "unseen", for: searchId }, "Search the tree"), search, h("span", { class: "check" }, only, h("label", { for: onlyId }, "only what matches")))),
    h("nav", { "aria-label": "From the roots" }, crumbs), drawing, h("p", { class: "under" }, found), picked,
    h("ul", { class: "kinds" }, [["app", "other objects"], ["collection", "arrays, hashes, sets"], ["string", "strings, symbols"], ["class", "classes"], ["internal", "Ruby’s own"]].map(([key, words]) => h("li", { class: `k-${key}` }, words))));
  // Of a link: `class/0.3`.
  whole.follow = (words) => {
    const [by, way] = words.split("/");
    choose(by);
    for (const step of (way ?? "").split(".").filter(Boolean)) {
      const below = state.at.below[Number(step)];
      if (!below) break;
      state.at = below;
    }
    draw();
  };
  whole.draw = draw;
  return whole;
}
