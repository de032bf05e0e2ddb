// Notes of the reader: kept behind the place in the page's link, and saved as a file that `suspects --except` reads.
import { button, copy, h, save, unique } from "./elements.js";
import { data, dumps } from "./data.js";
import { safe } from "./text.js";

const LONGEST = 2000;
const notes = { all: "", of: {} };
const MARK = "?notes=";

const toText = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

const hasNotes = () => notes.all !== "" || Object.values(notes.of).some((note) => note.text || note.meant);

// The link's place, and behind it the notes.
export const place = () => decodeURIComponent(location.hash.slice(1).split(MARK)[0]);

function behind() {
  return hasNotes() ? MARK + toText(new TextEncoder().encode(JSON.stringify(notes))) : "";
}

export function go(to) {
  history.replaceState(null, "", `#${to}${behind()}`);
}

// A link inside of the page has the place alone: the notes are put behind it again.
export const keepNotes = () => { if (hasNotes() && !location.hash.includes(MARK)) go(location.hash.slice(1)); };

// Whoever made the link may have written anything.
export function readNotes() {
  const text = location.hash.split(MARK)[1];
  if (!text) return;
  try {
    const read = JSON.parse(new TextDecoder().decode(toBytes(text)));
    if (typeof read.all === "string") notes.all = read.all.slice(0, LONGEST);
    data.suspects.forEach((_, at) => {
      const note = read.of?.[`suspect-${at + 1}`];
      if (note) notes.of[`suspect-${at + 1}`] = { text: String(note.text ?? "").slice(0, LONGEST), meant: note.meant === true };
    });
  } catch {
    // What cannot be read is no note.
  }
}

const field = (label, value, oninput) => {
  const id = unique("note");
  const area = h("textarea", { id, rows: 2, maxlength: LONGEST, oninput: () => oninput(area.value) });
  area.value = value;
  return [h("label", { for: id }, label), area];
};

export function noteBox(key, label) {
  const note = () => (notes.of[key] ??= { text: "", meant: false });
  const known = notes.of[key] ?? { text: "", meant: false };
  const id = unique("meant");
  const meant = h("input", { id, type: "checkbox", onchange: () => { note().meant = meant.checked; go(place()); } });
  meant.checked = known.meant;
  return h("details", { class: "note-box", open: Boolean(known.text || known.meant) }, h("summary", {}, label),
    field("Note", known.text, (text) => { note().text = text; go(place()); }),
    h("p", {}, meant, h("label", { for: id }, " This is meant to be: leave it out the next time")));
}

// A pattern of `--except` that fits the text and nothing else.
const pattern = (text) => safe(text).replace(/^#|[\\*?[\]{}]/g, "\\$&").replace(/…$/, "*");

const line = (text) => safe(text.replace(/\s+/g, " ").trim());

export function notesFile() {
  const lines = [`# Notes on ${line(dumps.map((dump) => dump.name).join(", "))}`, "# for heap_inspector suspects ... --except FILE"];
  if (notes.all) lines.push(`# ${line(notes.all)}`);
  data.suspects.forEach((suspect, at) => {
    const note = notes.of[`suspect-${at + 1}`];
    if (!note || !(note.text || note.meant)) return;
    const what = `${line(suspect.class)} held by ${line(suspect.holder)}${note.text ? `: ${line(note.text)}` : ""}`;
    lines.push(note.meant ? `${pattern(suspect.holder)} # ${what}` : `# ${what}`);
  });
  return `${lines.join("\n")}\n`;
}

export function notesSection() {
  return h("div", { class: "notes-of-all" }, field("Your notes on this page", notes.all, (text) => { notes.all = text; go(place()); }),
    h("p", { class: "buttons" }, button("Copy the link with the notes", (event) => copy(location.href, event.currentTarget)),
      button("Save the notes as a file", () => save(notesFile(), "heap_inspector_ignore", "text/plain"))));
}
