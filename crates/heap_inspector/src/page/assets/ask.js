// Every question, where there is somebody to ask.
import { button, clear, h, put, say, unique } from "./elements.js";
import { ask, served } from "./data.js";
import { report } from "./table.js";

// What a choice takes, as a field of the form.
function field(choice) {
  const id = unique("option");
  const list = choice.values.length ? unique("values") : null;
  const input = choice.flag
    ? h("input", { id, name: choice.name, type: "checkbox", value: "true" })
    : h("input", { id, name: choice.name, type: "text", list, placeholder: choice.default ?? "", required: choice.needed && choice.name === "address", autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-help` });
  return h("div", { class: "field" }, h("label", { for: id }, choice.name), input,
    list && h("datalist", { id: list }, choice.values.map((value) => h("option", { value }))),
    h("span", { class: "remark", id: `${id}-help` }, choice.help));
}

export function askView() {
  const id = unique("question");
  const select = h("select", { id, onchange: () => choose() }, served.map((question) => h("option", { value: question.name }, `${question.name}: ${question.about}`)));
  const fields = h("div", { class: "fields" });
  const place = h("div", { class: "asked", "aria-live": "polite" });
  let running = null;

  function choose() {
    const question = served.find((one) => one.name === select.value);
    clear(fields);
    // An address may stand in place of the others: the page asks with what was filled in.
    put(fields, question.options.map(field));
  }

  async function send(event) {
    event.preventDefault();
    running?.abort();
    const own = running = new AbortController();
    const words = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    const command = `heap_inspector ${select.value} …${[...words].map(([key, value]) => ` --${key}${value === "true" ? "" : ` ${value}`}`).join("")}`;
    words.set("format", "page");
    clear(place);
    put(place, [h("p", { class: "status" }, "Asking…")]);
    try {
      const parts = await ask(`ask/${select.value}?${words}`, own.signal);
      clear(place);
      put(place, [h("p", { class: "command" }, h("code", {}, command)), parts.map((part) => report(part, unique("asked")))]);
      say("The answer is there");
    } catch (error) {
      if (own.signal.aborted) return;
      clear(place);
      put(place, [h("p", { class: "note warning", role: "alert" }, error.message)]);
    }
  }

  const form = h("form", { class: "ask", onsubmit: send }, h("div", { class: "field" }, h("label", { for: id }, "Question"), select), fields,
    h("p", { class: "buttons" }, h("button", { type: "submit" }, "Ask"), button("Stop", () => { running?.abort(); clear(place); }, { class: "quiet" })));
  choose();
  return [form, place];
}
