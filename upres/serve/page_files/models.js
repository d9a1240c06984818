// The models, with their cards, in a dialog: choose one or several.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { modelTitle } from "./report.js";
import { duration, has, word } from "./strings.js";

const AUTO = { name: "auto", purpose: "" };
const FIRST = ["photo-x4", "compact-x4", "compact-x2"]; // those that invent nothing
let known = null;
let chosen = new Set();

function card(model) {
  const facts = model.name === "auto" ? [] : [
    word("scaleBy", model.scale), word("license", model.license || word("unknown")),
    model.seconds_per_megapixel === null || model.seconds_per_megapixel === undefined ? null : word("speed", duration(model.seconds_per_megapixel)),
  ].filter((fact) => fact !== null);
  const ours = has(`for_${model.name}`);
  const purpose = model.name === "auto" ? word("autoWhy") : ours ? word(`for_${model.name}`) : model.purpose;
  const box = element("input", { type: "checkbox", value: model.name, onchange: choose });
  box.checked = chosen.has(model.name);
  const title = model.name === "auto" ? word("auto") : modelTitle(model.name, has);
  return element("li", {},
    element("label", {}, box, element("span", { class: "card" },
      element("span", {}, element("strong", {}, title),
        title === model.name || model.name === "auto" ? null : element("code", { class: "quiet small" }, ` ${model.name}`)),
      element("span", { lang: ours || model.name === "auto" ? null : "en" }, purpose),
      facts.length === 0 ? null : element("span", { class: "quiet small" }, facts.join(" · ")))),
    model.training_data ? element("details", { class: "quiet small" }, element("summary", {}, word("trained")), element("span", { lang: "en" }, model.training_data)) : null,
    model.page ? element("a", { href: model.page, target: "_blank", rel: "noopener noreferrer", class: "small" }, word("page")) : null);
}

function choose(event) {
  if (event.target.checked) chosen.add(event.target.value);
  else chosen.delete(event.target.value);
  count();
}

function count() {
  byId("models-count").textContent = word("chosen", chosen.size);
  byId("models-use").disabled = chosen.size === 0;
}

function drawCards() {
  const wanted = byId("models-filter").value.trim().toLowerCase();
  const all = [AUTO, ...known].filter((model) => {
    const text = `${model.name} ${modelTitle(model.name, has)} ${model.purpose} ${(model.aliases ?? []).join(" ")} ${model.license ?? ""}`;
    return text.toLowerCase().includes(wanted);
  });
  byId("model-cards").replaceChildren(...all.map(card), ...(all.length > 0 ? [] : [element("li", { class: "quiet" }, word("noModel"))]));
}

function inOrder(models) {
  const place = (model) => (FIRST.indexOf(model.name) + FIRST.length + 1) % (FIRST.length + 1);
  return [...models].sort((a, b) => place(a) - place(b)); // a stable sort
}

// The names of the chosen models, or null where the dialog was closed otherwise.
export async function chooseModels(names) {
  known ??= inOrder((await api.models()).models);
  chosen = new Set(names);
  const dialog = byId("models");
  byId("models-filter").value = "";
  byId("models-filter").placeholder = word("filter");
  byId("models-filter").setAttribute("aria-label", word("filter"));
  byId("models-filter").hidden = known.length < 8;
  byId("models-close").setAttribute("aria-label", word("close"));
  drawCards();
  count();
  dialog.returnValue = "";
  dialog.showModal();
  byId("model-cards").scrollTop = 0;
  return new Promise((resolve) => {
    const order = ["auto", ...known.map((model) => model.name)];
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "use" ? order.filter((name) => chosen.has(name)) : null), { once: true });
  });
}

export function startModels() {
  byId("models-filter").addEventListener("input", drawCards);
  byId("models-filter").addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  byId("models-close").addEventListener("click", () => byId("models").close(""));
}
