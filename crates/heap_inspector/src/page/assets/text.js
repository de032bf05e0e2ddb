// Numbers and texts as people read them. Whatever a dump's texts hold, what comes from here holds no letter that controls, hides or
// reorders its neighbours: the same ones that the command line writes out.

const HOSTILE = /[\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\u{e0100}-\u{e01ef}]/gu;
const WORDS = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e" };

export const safe = (text) => String(text).replace(HOSTILE, (letter) => WORDS[letter] ?? `\\u{${letter.codePointAt(0).toString(16)}}`);

export const count = (number) => Math.abs(number).toLocaleString("en-US");

export function bytes(number) {
  if (number < 1024) return `${number} B`;
  let value = number;
  for (const unit of ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]) {
    value /= 1024;
    if (value < 1023.95 || unit === "EiB") return `${value.toFixed(1)} ${unit}`;
  }
}

export function percent(share) {
  const number = share * 100;
  if (number > 0 && number < 0.05) return "< 0.1 %";
  if (number >= 99.95 && number < 100) return "> 99.9 %";
  return `${number.toFixed(1)} %`;
}

const signed = (number, words) => (number === 0 ? "0" : `${number < 0 ? "−" : "+"}${words(Math.abs(number))}`);

export const change = (number) => signed(number, count);
export const bytesChange = (number) => signed(number, bytes);

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

// A cell is null or [kind, value, more]. What people read of it:
export function words(cell) {
  if (!cell) return "–";
  const [kind, value, more] = cell;
  switch (kind) {
    case "count": return count(value);
    case "bytes": return bytes(value);
    case "change": return change(value);
    case "bytes_change": return bytesChange(value);
    case "about": return `~${count(value)}${more ? "?" : ""}`;
    case "about_bytes": return `~${bytes(value)}${more ? "?" : ""}`;
    case "share": return value === null ? "–" : percent(value);
    case "flag": return value ? "yes" : "no";
    case "tally": return `${safe(value)} (${count(more)})`;
    case "more": return `(${count(value)} more ${more})`;
    case "list": return value.map(words).join(", ");
    case "text": return value === "" ? "\"\"" : safe(value);
    default: return safe(value);
  }
}

// By what it is sorted: a number or a text; null comes last.
export function rank(cell) {
  if (!cell) return null;
  const [kind, value] = cell;
  if (kind === "list") return value.length ? rank(value[value.length - 1]) : null;
  if (kind === "none") return null;
  return typeof value === "boolean" ? Number(value) : value;
}

export const isText = (cell) => Boolean(cell) && ["text", "tally", "none", "more"].includes(cell[0]);

// For a spreadsheet, which would run what looks like a formula.
function harmless(text) {
  return safe(text).split(";").map((part) => (/^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/u.test(part) ? `'${part}` : part)).join(";");
}

function field(cell) {
  if (!cell || cell[0] === "none") return "";
  const [kind, value] = cell;
  if (kind === "list") return harmless(value.map((one) => (typeof one?.[1] === "number" && one[0] !== "more" ? String(one[1]) : words(one))).join("; "));
  if (kind === "text") return harmless(cell[2] ?? value);
  if (kind === "tally" || kind === "more") return harmless(words(cell));
  return value === null ? "" : String(value);
}

export function csv(columns, rows) {
  const quoted = (text) => (/[",;\n\r]/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text);
  const lines = [columns.map((column) => column.name), ...rows.map((row) => row.map(field))];
  return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

// Text of the dump in Markdown: code, in which nothing is markup.
export function code(text) {
  const plain = safe(text);
  const longest = Math.max(0, ...[...plain.matchAll(/`+/g)].map((run) => run[0].length));
  const fence = "`".repeat(longest + 1);
  const gap = plain.startsWith("`") || plain.endsWith("`") ? " " : "";
  return `${fence}${gap}${plain}${gap}${fence}`;
}
