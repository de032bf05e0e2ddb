// Elements of the document. Texts are put in as texts: there is no other way here.
import { safe } from "./text.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, children);
  return element;
}

export function put(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : safe(child));
  }
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  for (const child of children.flat(Infinity)) if (child) element.append(child instanceof Node ? child : safe(child));
  return element;
}

export const clear = (element) => element.replaceChildren();

// A name out of the dump, kept apart from what stands around it whichever way it is written.
export const name = (text, attributes = {}) => h("bdi", { class: "name", ...attributes }, text);

// By what one object holds another: code, or our words where only these are known.
export const edge = (text) => (/^[@$:[]/.test(text) ? name(text) : h("span", {}, text));

export const button = (text, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, text);

export function say(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  setTimeout(() => { place.textContent = safe(text); }, 50);
}

export async function copy(text, from) {
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    from?.focus();
  }
  say(done ? "Copied" : "The browser does not allow to copy");
  if (!from) return;
  const words = from.textContent;
  if (from.dataset.busy) return;
  from.dataset.busy = "yes";
  from.textContent = done ? "Copied" : "Cannot copy";
  setTimeout(() => { from.textContent = words; delete from.dataset.busy; }, 1500);
}

export function save(text, file, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: file });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  say(`Saved as ${file}`);
}

// A part of the page that has a link of its own.
export function section(id, title, lead, ...children) {
  const heading = h("h2", { id: `${id}-title`, tabindex: -1 }, title, h("a", { class: "anchor", href: `#${id}`, "aria-label": `Link to ${title}` }, "#"));
  return h("section", { id, "aria-labelledby": `${id}-title` }, heading, lead && h("p", { class: "lead" }, lead), children);
}

let number = 0;
export const unique = (word) => `${word}-${number += 1}`;

// What is said beside the pointer or the focus.
export const tip = {
  show(lines, x, y) {
    const box = document.getElementById("tip");
    box.replaceChildren(...lines.map((line, at) => h(at ? "span" : "strong", {}, line)));
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - width - 8))}px`;
    box.style.top = `${y + 18 + height > innerHeight ? Math.max(8, y - height - 12) : y + 18}px`;
  },
  hide() {
    document.getElementById("tip").hidden = true;
  },
};
