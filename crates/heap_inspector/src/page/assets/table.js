// A table that sorts, is searched and saved.
import { button, clear, h, put, save, unique } from "./elements.js";
import { shown } from "./data.js";
import { count, csv, isText, plural, rank, sentence, words } from "./text.js";

// Rows that are shown at first, and at each further click.
const FIRST = 12;
const MORE = 100;

function compare(a, b) {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
  if (typeof a === "number" && typeof b === "number") return b - a;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

// `columns` are {name, title, label}, `rows` lists of cells, `rest` what was cut off. `view(rows)` may give other rows: a filter.
export function table({ id, title, columns, rows, rest, total, note, file = id, first = FIRST, view = (all) => all }) {
  const state = { by: null, ascending: false, search: "", shown: first };
  const titles = columns.map((column) => column.title || "Share");
  const text = columns.map((column, at) => column.label || isText(rows.find((row) => row[at])?.[at]));
  // What a row is stands first.
  const order = [...columns.keys()].sort((a, b) => Number(Boolean(columns[b].label)) - Number(Boolean(columns[a].label)) || a - b);
  const searched = rows.map((row) => row.map(words).join(" ").toLowerCase());
  const body = h("tbody");
  const foot = h("tfoot");
  const status = h("p", { class: "status", role: "status" });
  const more = button("", () => { state.shown += MORE; draw(); }, { class: "quiet" });
  const heads = columns.map((column, at) =>
    h("th", { scope: "col", class: text[at] ? "text" : "number", "aria-sort": "none" },
      button(titles[at], () => sort(at))));
  const searchId = unique("search");
  const search = h("input", { id: searchId, type: "search", autocomplete: "off", spellcheck: "false",
    oninput: () => { state.search = search.value.trim().toLowerCase(); state.shown = first; draw(); } });

  function sort(at) {
    if (state.by === at) state.ascending = !state.ascending;
    else [state.by, state.ascending] = [at, false];
    heads.forEach((head, place) => {
      const order = text[at] === state.ascending ? "descending" : "ascending";
      head.setAttribute("aria-sort", place === state.by ? order : "none");
    });
    draw();
  }

  function found() {
    const all = view(rows.map((row, at) => ({ row, at })).filter(({ at }) => !state.search || searched[at].includes(state.search)));
    if (state.by === null) return all;
    const turn = state.ascending ? -1 : 1;
    const sorted = all.map((one) => ({ one, by: rank(one.row[state.by]) }));
    sorted.sort((a, b) => (a.by === null || b.by === null ? compare(a.by, b.by) : turn * compare(a.by, b.by)));
    return sorted.map(({ one }) => one);
  }

  function line(cells, tag = "td") {
    return order.map((at) => h(tag, { class: text[at] ? "text" : "number" }, cells[at] === undefined ? "" : shown(cells[at], columns[at].name)));
  }

  function draw() {
    const all = found();
    clear(body);
    put(body, all.slice(0, state.shown).map(({ row }) => h("tr", {}, line(row))));
    if (!all.length) put(body, [h("tr", {}, h("td", { colspan: columns.length, class: "text none" }, rows.length ? "Nothing matches." : "Nothing of this kind."))]);
    const hidden = all.length - Math.min(all.length, state.shown);
    more.hidden = hidden === 0;
    more.textContent = `Show ${count(Math.min(hidden, MORE))} more of ${count(hidden)}`;
    status.textContent = state.search ? `${plural(all.length, "row")} of ${count(rows.length)} match` : plural(all.length, "row");
  }

  const label = columns.findIndex((column) => column.label);
  const named = (cells, words) => cells.map((cell, at) => (at === (label < 0 ? 0 : label) && !cell ? ["text", words] : cell));
  if (rest) put(foot, [h("tr", {}, line(named(rest.cells, `${plural(rest.rows, "more row")}, not on this page`)))]);
  if (total) put(foot, [h("tr", { class: "total" }, line(named(total, "all")))]);
  const tools = h("div", { class: "tools" },
    h("label", { class: "unseen", for: searchId }, `Search: ${title}`), search,
    button("CSV", () => save(csv(columns, found().map(({ row }) => row)), `${file}.csv`, "text/csv"), { class: "quiet", "aria-label": `Save as CSV: ${title}` }));
  search.placeholder = "Search";
  const scroll = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": title },
    h("table", {}, h("caption", { class: "unseen" }, title), h("thead", {}, h("tr", {}, order.map((at) => heads[at]))), body, rest || total ? foot : null));
  draw();
  const whole = h("div", { class: "table", id }, h("div", { class: "bar-top" }, h("h3", {}, title), rows.length > 3 && tools), note && h("p", { class: "note" }, note), scroll,
    h("div", { class: "bar-bottom" }, status, more));
  whole.redraw = draw;
  return whole;
}

// A section of a report.
export function report(part, prefix) {
  const id = `${prefix}-${part.name}`;
  switch (part.shape) {
    case "table": return table({ id, ...part, title: part.title || part.name.replaceAll("_", " ") });
    case "path": return table({ id, ...part, columns: lastFirst(part.columns), first: 100 });
    case "tree": return table({ id, ...part, columns: lastFirst(part.columns), rows: part.nodes.map(indented), first: 200 });
    case "facts": return facts(part);
    case "list": return h("div", { id }, part.items.map((item) => facts({ facts: item })));
    case "note": return note(part);
    default: return null;
  }
}

// Of trees and paths the last column is what a row is.
const lastFirst = (columns) => columns.map((column, at) => ({ ...column, label: at === columns.length - 1 }));

// A row of a tree as that of a table: how deep it stands is written in front of its name.
function indented([depth, cells]) {
  const label = cells[cells.length - 1];
  return label && depth ? [...cells.slice(0, -1), [label[0], `${"· ".repeat(Math.min(depth, 40))}${label[1]}`, ...label.slice(2)]] : cells;
}

export function facts({ title, facts: all }) {
  const known = all.filter((fact) => fact.cell && fact.title);
  return h("div", { class: "facts" }, title && h("h3", {}, title), h("dl", {}, known.map((fact) =>
    h("div", {}, h("dt", {}, fact.title), h("dd", {}, shown(fact.cell), fact.remark && h("span", { class: "remark" }, fact.remark))))));
}

export const note = ({ level, text }) => h("p", { class: `note ${level}` }, level === "warning" && h("strong", {}, "Warning: "), sentence(text));
