// What the page is made of.
import { h, name } from "./elements.js";
import { bytes, words } from "./text.js";

export const data = JSON.parse(document.getElementById("data").textContent);

const objects = new Map(data.objects.map((object) => [object.address, object]));

// What may be asked where the page came from; null for a page that is a file.
export const served = data.served ?? null;

// Asks where the page came from.
export async function ask(path, signal) {
  const response = await fetch(path, { signal, credentials: "omit", cache: "no-store" });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error ?? response.statusText);
  return answer;
}

// An object that is not on the page, from there.
export async function fetchObject(address) {
  if (!served || objects.has(address)) return;
  for (const one of await ask(`object/${address}`)) if (!objects.has(one.address)) objects.set(one.address, one);
}

export const object = (address) => objects.get(address);
export const allObjects = () => data.objects;

const ADDRESS = /^0x[0-9a-f]{1,16}$/;

// An object by its name, as a link where the page has it.
export function link(address, text = address) {
  if (address && (objects.has(address) || served)) return h("a", { class: "object", href: `#object/${address}` }, name(text));
  return name(text, address ? { title: `${address} is not among the objects on this page` } : {});
}

// Columns of our own words, not the dump's.
const OWN_WORDS = new Set(["trend", "kind", "confidence", "category"]);

// A cell's content.
export function shown(cell, column = "") {
  if (!cell) return h("span", { class: "none" }, "–");
  const [kind, value, more] = cell;
  if (kind === "text" && ADDRESS.test(value)) return link(value);
  if (OWN_WORDS.has(column)) return h("span", {}, words(cell));
  if (kind === "text") return name(value === "" ? "\"\"" : value, more ? { title: words(["text", more]) } : {});
  if (kind === "tally" || kind === "none" || kind === "more") return name(words(cell));
  if (kind === "list") return h("span", { class: "list" }, value.map((one) => h("span", {}, shown(one))));
  if (kind === "share" && value !== null) {
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--part", Math.min(1, Math.max(0, value)));
    return h("span", { class: "share" }, words(cell), bar);
  }
  if (kind === "bytes") return h("span", { title: `${value.toLocaleString("en-US")} bytes` }, bytes(value));
  return h("span", {}, words(cell));
}

export const dumps = data.dumps;
export const last = dumps[dumps.length - 1];
