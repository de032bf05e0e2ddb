// The page, from the answer down to the notes.
import { h, put, section } from "./elements.js";
import { data, dumps, last, served } from "./data.js";
import { facts, note } from "./table.js";
import { answer } from "./suspects.js";
import { dumpTable, histogram, overTime, pageMap, residentTable } from "./charts.js";
import { treeView } from "./tree.js";
import { follow, objectsView } from "./objects.js";
import { groupsView, parts } from "./groups.js";
import { askView } from "./ask.js";
import { keepNotes, notesSection, place, readNotes } from "./notes.js";
import { bytes, count, percent, plural } from "./text.js";

readNotes();

function basis() {
  const traced = last.sampled_every ? `sampled, one allocation of ${count(last.sampled_every)}` : last.traced === 0 ? "not traced" : `traced, ${percent(last.traced / Math.max(1, last.objects))} of the objects`;
  const cannot = [
    dumps.length < 3 && "Fewer than three dumps do not tell a leak from a cache that is still warming up.",
    last.traced === 0 && "Allocations were not traced, so no line of code and no generation is known of any object.",
    last.roots === 0 && "The dump has no roots, so what holds what cannot be told.",
    dumps.every((dump) => dump.rss === null) && "The dumps do not know the process’s resident memory, so what lies beside Ruby’s objects cannot be told.",
    dumps.some((dump) => dump.truncated) && "A dump ends early: what stood behind is not known.",
    "What native extensions hold beside Ruby’s objects is seen only as far as they tell Ruby of it.",
  ].filter(Boolean);
  const each = dumps.map((dump) => {
    const rows = [
      ["Taken", dump.time && `${dump.time.replace("T", " ").replace(/\.\d+Z$/, " UTC")}${dump.taken_by ? ` by ${dump.taken_by}` : ""}`],
      ["Process", dump.pid !== null && `${dump.pid}${dump.command ? `, ${dump.command}` : ""}`],
      ["Host", dump.host], ["Revision", dump.revision],
      ["Ruby", dump.ruby ?? `series ${dump.series}, by the dump’s format`],
      ["Holds", `${plural(dump.objects, "object")}, ${bytes(dump.bytes)}`],
      ["Traced", dump.sampled_every ? `one allocation of ${count(dump.sampled_every)}` : plural(dump.traced, "object")],
      ["Lost", dump.lost + dump.repaired === 0 && !dump.truncated ? "nothing" : `${plural(dump.lost, "line")} lost, ${count(dump.repaired)} repaired${dump.truncated ? ", and the dump ends early" : ""}`],
    ].filter(([, value]) => value);
    return h("div", { class: "facts dump" }, h("h3", {}, dump.name), h("dl", {}, rows.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value)))));
  });
  return section("basis", "What this rests on", `${plural(dumps.length, "dump")}; allocations ${traced}.`,
    h("div", { class: "dumps" }, each), h("h3", {}, "What cannot be concluded"), h("ul", { class: "cannot" }, cannot.map((text) => h("li", {}, text))));
}

function memory() {
  const types = data.memory.find((part) => part.name === "types");
  const rss = last.rss;
  const inPages = last.page_bytes;
  const shares = [
    ["live objects’ memory", last.bytes, "heap"],
    last.tracer_bytes > 0 && ["of it the allocation tracer’s own", last.tracer_bytes, "tracer"],
    inPages > 0 && ["heap pages", inPages, "pages"],
    rss && ["resident memory of the process", rss, "rss"],
  ].filter(Boolean);
  const most = Math.max(...shares.map((share) => share[1]), 1);
  const bars = h("ul", { class: "shares" }, shares.map(([words, size, kind]) => {
    const fill = h("span", { class: `fill ${kind}`, "aria-hidden": "true" });
    fill.style.setProperty("--part", size / most);
    return h("li", {}, h("strong", {}, bytes(size)), h("span", {}, words), fill);
  }));
  const beside = rss ? h("p", {}, `${bytes(Math.max(0, rss - last.bytes))} of the resident memory are no memory of Ruby’s objects: free slots, code, stacks, and what malloc and native extensions keep.`) : null;
  return section("memory", "What the memory is", `${plural(last.objects, "object")} take ${bytes(last.bytes)}; ${bytes(data.reachable.bytes)} of them are held from the roots.`,
    bars, beside, residentTable(1), types && parts([types], "memory"), h("details", { class: "more" }, h("summary", {}, "Classes, pages and roots"), parts(data.memory, "memory", ["types", "totals"]).filter((part) => part)));
}

const tree = treeView();
const groups = groupsView();

const sections = [
  ["basis", "Basis", basis],
  ["memory", "Memory", memory],
  dumps.length > 1 && ["growth", "Growth", () => section("growth", "Over the dumps", `From ${bytes(dumps[0].bytes)} to ${bytes(last.bytes)} in ${plural(dumps.length, "dump")}.`, overTime(), dumpTable(), residentTable(8), parts(data.growth ?? [], "growth"))],
  ["tree", "Who holds it", () => section("tree", "Who holds it", "Each box is held by the one above it alone: if that went, it would go. As wide as what it retains.", tree)],
  ["generations", "Generations", () => section("generations", "When it was allocated", "By how many garbage collections there had been. What a leak leaves stands in each generation; what an app needs, in the first. Drag over the bars to choose.",
    data.generations ? histogram() : h("p", {}, "Allocations were not traced, so no object’s generation is known."))],
  ["groups", "Tables", () => section("groups", "By class, gem, location", null, groups)],
  ["objects", "Objects", () => section("objects", "Objects", served ? `All ${count(data.object_count)} objects can be walked through.` : `${count(data.embedded)} of ${count(data.object_count)} objects can be walked through here: those that retain most, those named above, and what holds them.`, objectsView())],
  served && ["ask", "Ask", () => section("ask", "Ask", "Every question of the command line, with its options.", askView())],
  ["waste", "Waste", () => section("waste", "Waste", "Duplicate strings, collections with unused room, and heap pages.", parts(data.strings, "strings", ["totals"]), parts(data.collections, "collections"), h("details", { class: "more" }, h("summary", {}, "Heap pages: how full, and what keeps nearly empty ones"), pageMap(), parts(data.fragmentation, "fragmentation")), h("details", { class: "more" }, h("summary", {}, "Unreachable objects: garbage that was not collected yet"), parts(data.unreachable, "unreachable")))],
  ["threads", "Threads", () => section("threads", "Threads and fibers", null, parts(data.threads, "threads"))],
  ["notes", "Notes", () => section("notes", "Notes", "Kept in this page’s link, not on any server; the file is one for suspects --except.", notesSection())],
].filter(Boolean);

put(document.getElementById("of"), [dumps.map((dump) => dump.name).join(", ")]);
const main = document.getElementById("page");
main.replaceChildren(answer(), ...sections.map(([, , make]) => make()));
put(document.getElementById("contents"), [h("ol", {}, h("li", {}, h("a", { href: "#answer" }, "Answer")), sections.map(([id, title]) => h("li", {}, h("a", { href: `#${id}` }, title))))]);
put(document.getElementById("bottom"), [h("p", {}, `heap_inspector ${data.version}. `, data.confidential ? "Values of strings are left out." : "Values of strings are shown, each at most 60 letters long: keep this page like the database.", served ? " It asks the command that serves it, and nobody else." : " Nothing is loaded, nothing is sent.")]);

function arrive() {
  const at = place();
  const [first, ...rest] = at.split("/");
  if (first === "object" && rest.length) follow(rest[0]);
  else if (first === "tree" && rest.length) { tree.follow(rest.join("/")); document.getElementById("tree").scrollIntoView(); }
  else if (first === "by") { groups.follow(rest[0]); document.getElementById("groups").scrollIntoView(); }
  else {
    const target = at && document.getElementById(at);
    if (target) {
      for (let open = target.closest("details"); open; open = open.parentElement.closest("details")) open.open = true;
      target.scrollIntoView();
      target.querySelector("h1, h2, h3")?.focus({ preventScroll: true });
    }
  }
  keepNotes();
}

// The contents say where one is.
const links = new Map([...document.querySelectorAll("#contents a")].map((link) => [link.hash.slice(1), link]));
const watch = new IntersectionObserver((seen) => {
  const at = seen.filter((one) => one.isIntersecting).map((one) => one.target.id).find((id) => links.has(id));
  if (!at) return;
  links.forEach((link, id) => (id === at ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
}, { rootMargin: "-20% 0px -70% 0px" });
document.querySelectorAll("main > section").forEach((section) => watch.observe(section));
tree.draw();
addEventListener("hashchange", arrive);
if (place()) arrive();
addEventListener("keydown", (event) => { if (event.key === "Escape") document.getElementById("tip").hidden = true; });
addEventListener("beforeprint", () => document.querySelectorAll("details.more").forEach((details) => { details.open = true; }));
