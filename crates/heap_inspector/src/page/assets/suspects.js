// The answer: what leaks, who holds it, and the way there, one row a reference.
import { button, copy, edge, h, name } from "./elements.js";
import { data, dumps, link, object } from "./data.js";
import { note } from "./table.js";
import { bytes, bytesChange, code, count, plural, safe, sentence } from "./text.js";
import { noteBox } from "./notes.js";

const CONFIDENCE = { high: "High confidence", medium: "Medium confidence", low: "Low confidence" };

const what = (suspect) => (suspect.count === 1 ? suspect.class : `${count(suspect.count)} × ${suspect.class}`);

function steps(suspect, heading) {
  if (!suspect.steps.length) return null;
  const most = Math.max(...suspect.steps, 1);
  const bars = suspect.steps.map((step, at) => {
    const fill = h("span", { class: "fill", "aria-hidden": "true" });
    fill.style.setProperty("--part", step / most);
    return h("li", {}, h("span", { class: "when" }, `${at + 1} → ${at + 2}`), fill, h("span", { class: "amount" }, bytesChange(step)));
  });
  return h("div", { class: "steps" }, heading("Growth from dump to dump"), h("ol", {}, bars));
}

function row([by, address, label, own, retained, accumulates, verdict, reason, fault], first, most) {
  const bar = h("span", { class: "fill", "aria-hidden": "true" });
  bar.style.setProperty("--part", Math.min(1, retained / most));
  return h("li", { class: accumulates ? "accumulates" : null },
    h("span", { class: "edge" }, by ? edge(by) : first ? "root" : "refers to"),
    h("span", { class: "node" }, link(address, label), accumulates && h("span", { class: "mark" }, "accumulates here"), fault && h("span", { class: "mark fault" }, fault),
      verdict && verdict !== "unknown" && h("span", { class: `verdict ${verdict}` }, `${verdict}: `, name(reason))),
    h("span", { class: "retains", title: `own ${bytes(own)}` }, bar, h("span", { class: "unseen" }, "retains "), bytes(retained)));
}

function path(suspect) {
  const most = Math.max(...suspect.path.filter(Array.isArray).map((step) => step[4]), 1);
  // What repeats itself, or is left out of a long path, is told in words.
  const gap = (words) => h("li", { class: "gap" }, h("span", { class: "node" }, words));
  const rows = suspect.path.map((step, at) => Array.isArray(step) ? row(step, at === 0, most) : gap(step));
  return h("ol", { class: "path" }, rows);
}

export function markdown(suspect) {
  const lines = [`**${code(suspect.class)}: ${count(suspect.count)} objects, ${bytes(suspect.bytes)}${suspect.steps.length ? " new" : ""}, held by ${code(suspect.holder)}** (${suspect.confidence} confidence)`, ""];
  const place = suspect.app_location ?? suspect.location;
  if (place) lines.push(`Allocated at ${code(place)}.`, "");
  if (suspect.rate) lines.push(`Growth: ${code(suspect.rate)}.`, "");
  if (suspect.known_leak) lines.push(`Known leak: ${code(suspect.known_leak)}.`, "");
  for (const step of suspect.path) {
    if (!Array.isArray(step)) {
      lines.push(`1. ${step}`);
      continue;
    }
    const [by, address, label, , retained, , , , fault] = step;
    lines.push(`1. ${by ? `${code(by)} → ` : ""}${code(label)} ${code(address)}, retains ${bytes(retained)}${fault ? `, **${fault}**` : ""}`);
  }
  return `${lines.join("\n")}\n`;
}

function next(suspect, heading) {
  const place = suspect.app_location ?? suspect.location;
  const sentence = suspect.has_line
    ? ["Open ", name(place), " and see what takes these objects out of ", name(suspect.holder), " again. If it is a cache, bound it."]
    : ["See what adds to ", name(suspect.holder), ", and what takes out again. If it is a cache, bound it."];
  return h("div", { class: "next" }, heading("What to do next"), h("p", {}, sentence),
    suspect.address && object(suspect.address) && h("p", {}, "Walk from ", link(suspect.address, suspect.accumulates_in), " through what it holds."),
    suspect.next && h("p", { class: "command" }, h("code", {}, suspect.next), button("Copy", (event) => copy(safe(suspect.next), event.currentTarget), { class: "quiet", "aria-label": "Copy the command" })));
}

function card(suspect, at, all) {
  const id = `suspect-${at + 1}`;
  const grown = suspect.steps.length > 0;
  const place = suspect.app_location ?? suspect.location;
  const small = (words) => h(at === 0 ? "h2" : "h4", { class: "mini" }, words);
  const heading = h(at === 0 ? "h1" : "h3", { class: at === 0 ? "headline" : "headline small", id: `${id}-title`, tabindex: -1 },
    h("span", { class: "number" }, suspect.count === 1 ? "" : `${count(suspect.count)} × `), name(suspect.class, { class: "name what" }), h("span", { class: "held" }, " held by "), name(suspect.holder, { class: "name holder" }), suspect.accumulation_point_count > 1 && h("span", { class: "held" }, ` at ${count(suspect.accumulation_point_count)} accumulation points`));
  const told = h("dl", { class: "key" },
    h("div", {}, h("dt", {}, grown ? "New and kept" : "Retained"), h("dd", { class: "big" }, bytes(suspect.bytes))),
    h("div", {}, h("dt", {}, place === suspect.app_location && place ? "Allocated in the app at" : "Allocated at"), h("dd", {}, place ? name(place) : "not known: nothing was traced",
      suspect.app_location && suspect.location && suspect.app_location !== suspect.location && h("span", { class: "remark" }, "in ", name(suspect.location)))),
    h("div", {}, h("dt", {}, "Accumulates in"), h("dd", {}, link(suspect.address, suspect.accumulates_in))),
    h("div", {}, h("dt", {}, "Fingerprint"), h("dd", { title: suspect.normalised_path.join(" → ") }, name(suspect.fingerprint))),
    suspect.freed !== null && h("div", {}, h("dt", {}, "Freed if cut"), h("dd", {}, bytes(suspect.freed),
      suspect.kept && h("span", { class: "remark" }, name(suspect.kept)))),
    suspect.rate && h("div", {}, h("dt", {}, "Growth"), h("dd", {}, name(suspect.rate))),
    suspect.known_leak && h("div", {}, h("dt", {}, "Known leak"), h("dd", {}, name(suspect.known_leak))),
    suspect.mostly && h("div", {}, h("dt", {}, "Most of it"), h("dd", {}, name(suspect.mostly))),
    suspect.since !== null && h("div", {}, h("dt", {}, "Since generation"), h("dd", {}, count(suspect.since))));
  return h("article", { class: "suspect", id, "aria-labelledby": `${id}-title` },
    h("p", { class: "eyebrow" }, h("span", { class: `confidence ${suspect.confidence}` }, CONFIDENCE[suspect.confidence] ?? suspect.confidence),
      all > 1 && h("span", {}, `Suspect ${at + 1} of ${all}`), h("a", { class: "anchor", href: `#${id}`, "aria-label": `Link to suspect ${at + 1}` }, "#")),
    heading, told,
    h("div", { class: "halves" },
      h("div", { class: "way" }, small("What holds them, from a root"), path(suspect),
        button("Copy as Markdown", (event) => copy(markdown(suspect), event.currentTarget), { class: "quiet" })),
      h("div", { class: "why" }, steps(suspect, small),
        suspect.reasons.length > 0 && h("div", { class: "reasons" }, small("Why"), h("ul", {}, suspect.reasons.map((reason) => h("li", {}, sentence(reason))))),
        next(suspect, small))),
    noteBox(id, `Your note on this suspect`, suspect));
}

export function answer() {
  const suspects = data.suspects;
  const lead = suspects.length ? null : data.doubts.find((one) => one.level === "info");
  const warnings = data.doubts.filter((one) => one.level === "warning").length;
  const root = h("section", { id: "answer", "aria-label": "The answer", tabindex: -1 });
  if (suspects.length) {
    root.append(...suspects.slice(0, 1).map((suspect, at) => card(suspect, at, suspects.length)));
  } else {
    root.append(h("p", { class: "eyebrow" }, h("span", { class: "confidence none" }, "No suspect")),
      h("h1", { class: "headline" }, warnings ? "No leak can be told from this" : dumps.length > 1 ? "Nothing here looks like a leak" : "Nothing in this dump looks like a leak"),
      h("p", { class: "lead" }, lead ? `${sentence(lead.text)}.` : `${plural(dumps.length, "dump")} looked at.`),
      h("div", { class: "next" }, h("h2", { class: "mini" }, "What to do next"), h("p", {}, dumps.length < 3
        ? "Take three dumps of the process while it works, and make this page of all three: then what grows in each step and stays stands here."
        : "Look at what the memory is below. If the process grows and its heap does not, it is not Ruby's objects that leak: look at the resident memory beside the heap.")));
  }
  const doubts = data.doubts.filter((one) => one !== lead);
  if (doubts.length) root.append(h("div", { class: "doubts", id: "doubts" }, doubts.map(note)));
  if (suspects.length > 1) {
    root.append(h("div", { class: "others" }, h("h2", {}, "Other suspects"), suspects.slice(1).map((suspect, at) =>
      h("details", {}, h("summary", {}, h("span", { class: `confidence ${suspect.confidence}` }, suspect.confidence), name(what(suspect)), h("span", { class: "amount" }, bytes(suspect.bytes)), h("span", { class: "held" }, " held by "), name(suspect.holder)), card(suspect, at + 1, suspects.length)))));
  }
  return root;
}
