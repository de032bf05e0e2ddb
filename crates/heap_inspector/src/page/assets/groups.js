// Tables by class, gem, location and stack. What is chosen among the generations holds for them.
import { h, unique } from "./elements.js";
import { brushed, onBrush } from "./charts.js";
import { data } from "./data.js";
import { go } from "./notes.js";
import { report } from "./table.js";
import { table } from "./table.js";

// The rows with count and bytes of the chosen generations alone; those without any are left out.
function chosen(part, rows) {
  const range = brushed();
  if (!range || !part.spread) return rows;
  const [count, size] = ["count", "memsize"].map((name) => part.columns.findIndex((column) => column.name === name));
  const sums = rows.map(({ row, at }) => {
    const spread = part.spread[at] ?? [];
    const sum = [0, 0];
    for (let place = 0; place < spread.length; place += 3) {
      if (spread[place] < range[0] || spread[place] > range[1]) continue;
      sum[0] += spread[place + 1];
      sum[1] += spread[place + 2];
    }
    const cells = [...row];
    [cells[count], cells[size]] = [["count", sum[0]], ["bytes", sum[1]]];
    return { row: cells, at, sum };
  });
  return sums.filter(({ sum }) => sum[0] > 0).sort((a, b) => b.sum[1] - a.sum[1]);
}

export function groupsView() {
  const parts = data.groups;
  const panels = parts.map((part) => {
    const note = h("p", { class: "note info", hidden: true }, "Objects and own bytes are of the chosen generations; what is retained, and growth, of all.");
    const drawn = table({ id: `group-${part.name}`, ...part, file: `heap-by-${part.name}`, view: (rows) => chosen(part, rows) });
    onBrush(() => { note.hidden = brushed() === null; drawn.redraw(); });
    return h("div", { class: "tab", id: `by-${part.name}`, role: "tabpanel", tabindex: -1 }, note, drawn);
  });
  const tabs = parts.map((part, at) => {
    const id = unique("tab");
    panels[at].setAttribute("aria-labelledby", id);
    return h("button", { id, type: "button", role: "tab", "aria-controls": `by-${part.name}`, onclick: () => { choose(at); go(`by/${part.name}`); } }, part.title);
  });
  function choose(at) {
    tabs.forEach((tab, place) => {
      tab.setAttribute("aria-selected", String(place === at));
      tab.tabIndex = place === at ? 0 : -1;
      panels[place].hidden = place !== at;
    });
  }
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Group by", onkeydown: (event) => {
    const at = tabs.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (at < 0 || !step) return;
    const next = (at + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  } }, tabs);
  choose(0);
  const whole = h("div", { class: "groups" }, tabs.length > 1 && list, panels);
  whole.follow = (by) => { const at = parts.findIndex((part) => part.name === by); if (at >= 0) choose(at); };
  return whole;
}

// Sections of a report, one below the other; those named first, if any, stay open.
export function parts(all, prefix, except = []) {
  const names = new Map(); // several answers of one section may have a part of one name
  return all.filter((part) => !except.includes(part.name)).map((part) => {
    const number = (names.get(part.name) ?? 0) + 1;
    names.set(part.name, number);
    return report(part, number === 1 ? prefix : `${prefix}-${number}`);
  });
}
