// Lines over the dumps, and the histogram of generations with its brush.
import { h, section, svg, tip, unique } from "./elements.js";
import { data, dumps, last } from "./data.js";
import { table } from "./table.js";
import { bytes, count, plural } from "./text.js";

const WIDTH = 720;
const HEIGHT = 240;

// A round number at least as great.
function ceiling(number) {
  const step = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, number))) - 2);
  return Math.ceil(number / step) * step;
}

export function overTime() {
  const times = dumps.map((dump) => Date.parse(dump.time ?? ""));
  const timed = times.every((time, at) => Number.isFinite(time) && (at === 0 || time >= times[at - 1])) && times[0] < times[times.length - 1];
  const places = timed ? times.map((time) => (time - times[0]) / (times[times.length - 1] - times[0])) : dumps.map((_, at) => at / (dumps.length - 1));
  const lines = [
    { name: "Objects", class: "heap", values: dumps.map((dump) => dump.bytes) },
    { name: "Heap pages", class: "pages", values: dumps.map((dump) => dump.page_bytes || null) },
    { name: "Resident memory", class: "rss", values: dumps.map((dump) => dump.rss) },
  ].filter((line) => line.values.every((value) => value !== null));
  const top = ceiling(Math.max(...lines.flatMap((line) => line.values)));
  const x = (at) => 76 + places[at] * (WIDTH - 110);
  const y = (value) => HEIGHT - 34 - (value / top) * (HEIGHT - 60);
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => [
    svg("line", { x1: 76, x2: WIDTH - 24, y1: y(top * part), y2: y(top * part), class: "grid" }),
    svg("text", { x: 68, y: y(top * part) + 4, "text-anchor": "end" }, bytes(Math.round(top * part))),
  ]);
  const ticks = dumps.map((dump, at) => svg("text", { x: x(at), y: HEIGHT - 10, "text-anchor": at === 0 ? "start" : at === dumps.length - 1 ? "end" : "middle" },
    timed ? new Date(times[at]).toISOString().slice(11, 19) : `dump ${at + 1}`));
  const drawn = lines.map((line) => svg("g", { class: line.class },
    svg("polyline", { points: line.values.map((value, at) => `${x(at)},${y(value)}`).join(" "), fill: "none" }),
    line.values.map((value, at) => svg("circle", { cx: x(at), cy: y(value), r: 4 }))));
  const words = lines.map((line) => `${line.name}: ${line.values.map(bytes).join(", ")}`).join(". ");
  return h("figure", { class: "chart" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words }, grid, ticks, drawn),
    h("figcaption", {}, lines.map((line) => h("span", { class: `legend ${line.class}` }, line.name)),
      !timed && h("span", { class: "remark" }, "The dumps do not tell when they were taken; they stand in order.")));
}

export function dumpTable() {
  const some = (key) => dumps.some((dump) => dump[key] !== null && dump[key] !== undefined);
  const columns = [
    { name: "dump", title: "Dump", label: true, cell: (dump) => ["text", dump.name] },
    some("time") && { name: "time", title: "Taken", label: true, cell: (dump) => dump.time && ["text", dump.time.replace(/\.\d+Z$/, "Z")] },
    { name: "bytes", title: "Objects’ memory", cell: (dump) => ["bytes", dump.bytes] },
    { name: "objects", title: "Objects", cell: (dump) => ["count", dump.objects] },
    dumps.some((dump) => dump.page_bytes) && { name: "page_bytes", title: "Heap pages", cell: (dump) => (dump.page_bytes ? ["bytes", dump.page_bytes] : null) },
    some("rss") && { name: "rss", title: "Resident", cell: (dump) => dump.rss && ["bytes", dump.rss] },
    { name: "traced", title: "Traced", cell: (dump) => ["count", dump.traced] },
  ].filter(Boolean);
  return table({ id: "dumps-table", title: "The dumps, oldest first", columns, rows: dumps.map((dump) => columns.map((column) => column.cell(dump))), first: 100 });
}

const COLUMNS = 64;
const CELL = 11;

// The pages of each slot size in the order of their addresses: the fuller, the darker.
export function pageMap() {
  return data.page_map.map(({ slot_size: size, pages, pages_per_cell: several, cells }) => {
    const rows = Math.ceil(cells.length / COLUMNS);
    const average = Math.round(cells.reduce((sum, percent) => sum + percent, 0) / cells.length);
    const words = `${plural(pages, "page")} of slots of ${bytes(size)}, ${average} % full on average${several > 1 ? `; a cell stands for ${several} of them` : ""}`;
    const drawn = svg("svg", { viewBox: `0 0 ${COLUMNS * CELL} ${rows * CELL}`, role: "img", "aria-label": words },
      cells.map((percent, at) => svg("rect", { x: (at % COLUMNS) * CELL, y: Math.floor(at / COLUMNS) * CELL, width: CELL - 1, height: CELL - 1, "data-at": at, "fill-opacity": 0.06 + 0.0094 * percent })));
    drawn.addEventListener("pointermove", (event) => {
      const at = Number(event.target.dataset?.at);
      if (Number.isNaN(at)) tip.hide();
      else tip.show([several > 1 ? `pages ${count(at * several + 1)} to ${count(Math.min(pages, (at + 1) * several))}` : `page ${count(at + 1)} of ${count(pages)}`, `${cells[at]} % of the slots hold an object`], event.clientX, event.clientY);
    });
    drawn.addEventListener("pointerleave", () => tip.hide());
    return h("figure", { class: "chart page-map" }, drawn, h("figcaption", {}, words));
  });
}

// Where the resident memory is, part by part, in each of the dumps that tell it; the last so many of them.
export function residentTable(most) {
  const told = dumps.filter((dump) => dump.resident).slice(-most);
  if (told.length === 0) return null;
  const sizes = told.map((dump) => new Map(dump.resident.map(([part, size]) => [part, size])));
  const latest = sizes[sizes.length - 1];
  const parts = [...new Set(sizes.flatMap((parts) => [...parts.keys()]))].sort((one, other) => (latest.get(other) ?? 0) - (latest.get(one) ?? 0));
  const unnamed = new Set(told.flatMap((dump) => dump.resident.filter(([, , named]) => !named).map(([part]) => part)));
  const columns = [
    { name: "part", title: "Part", label: true, cell: (part) => ["text", unnamed.has(part) ? `${part} (nobody names it)` : part] },
    ...told.map((dump, at) => ({ name: `dump_${at}`, title: told.length === 1 ? "Resident" : dump.name, cell: (part) => ["bytes", sizes[at].get(part) ?? 0] })),
  ];
  const title = most === 1 ? "Resident memory by part" : "Resident memory by part, dump by dump";
  return table({ id: `resident-table-${most}`, title, columns, rows: parts.map((part) => columns.map((column) => column.cell(part))), first: 12 });
}

// What is chosen by the brush: [from, to] of bars, or null.
const chosen = { range: null, listeners: [] };
export const brushed = () => chosen.range;
export const onBrush = (listener) => chosen.listeners.push(listener);

export function histogram() {
  const { first, width, bars, untraced } = data.generations;
  const range = (at) => (width === 1 ? `generation ${first + at}` : `generations ${first + at * width} to ${first + (at + 1) * width - 1}`);
  const told = h("p", { class: "status", role: "status" });
  const columns = bars.map(([number, size], at) => {
    const bar = h("div", { class: "column", "data-at": at }, h("span", {}));
    bar.addEventListener("pointermove", (event) => tip.show([range(at), plural(number, "object"), bytes(size)], event.clientX, event.clientY));
    bar.addEventListener("pointerleave", () => tip.hide());
    return bar;
  });
  const plot = h("div", { class: "plot", "aria-hidden": "true" }, columns);
  const ids = [unique("from"), unique("to")];
  const sliders = ids.map((id, which) => h("input", { id, type: "range", min: 0, max: bars.length - 1, step: 1, oninput: () => fromSliders() }));
  sliders[0].value = "0";
  sliders[1].value = String(bars.length - 1);

  function choose(from, to) {
    const [low, high] = from <= to ? [from, to] : [to, from];
    chosen.range = low === 0 && high === bars.length - 1 ? null : [low, high];
    [sliders[0].value, sliders[1].value] = [String(low), String(high)];
    sliders[0].setAttribute("aria-valuetext", range(low));
    sliders[1].setAttribute("aria-valuetext", range(high));
    // Start-up data outweighs all that came later: what is chosen is drawn as high as there is room.
    const most = Math.max(...bars.slice(low, high + 1).map((bar) => bar[1]), 1);
    columns.forEach((bar, at) => {
      bar.classList.toggle("out", at < low || at > high);
      bar.firstChild.style.height = `${Math.min(1, bars[at][1] / most) * 100}%`;
    });
    const sums = bars.slice(low, high + 1).reduce((sum, bar) => [sum[0] + bar[0], sum[1] + bar[1]], [0, 0]);
    const words = low === high ? range(low) : `generations ${first + low * width} to ${first + (high + 1) * width - 1}`;
    told.textContent = `${chosen.range ? `Chosen: ${words}` : `All ${words}`}: ${plural(sums[0], "object")}, ${bytes(sums[1])}. ${chosen.range ? "The tables below are of these." : ""}`;
    all.hidden = chosen.range === null;
    chosen.listeners.forEach((listener) => listener());
  }
  const fromSliders = () => choose(Number(sliders[0].value), Number(sliders[1].value));
  const all = h("button", { type: "button", class: "quiet", onclick: () => choose(0, bars.length - 1) }, "All generations");
  let start = null;
  const place = (event) => {
    const box = plot.getBoundingClientRect();
    return Math.max(0, Math.min(bars.length - 1, Math.floor(((event.clientX - box.left) / box.width) * bars.length)));
  };
  plot.addEventListener("pointerdown", (event) => { start = place(event); plot.setPointerCapture(event.pointerId); choose(start, start); });
  plot.addEventListener("pointermove", (event) => { if (start !== null) choose(start, place(event)); });
  plot.addEventListener("pointerup", () => { start = null; });
  choose(0, bars.length - 1);
  return h("div", { class: "histogram", id: "histogram" }, plot,
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", {}, `generation ${first}`), h("span", {}, `${first + bars.length * width - 1}`)),
    h("div", { class: "sliders" }, sliders.map((slider, which) => h("label", { for: ids[which] }, which ? "to" : "from", slider)), all),
    told,
    untraced[0] > 0 && h("p", { class: "remark" }, `${plural(untraced[0], "object")} more, ${bytes(untraced[1])}, were not traced and have no generation.`));
}
