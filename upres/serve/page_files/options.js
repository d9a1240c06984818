// How to enlarge: size, model, format. Changed options hold for the pictures that are not begun.
import { byId, element, setText } from "./dom.js";
import { chooseModels } from "./models.js";
import { modelTitle } from "./report.js";
import { keep, settings, SIZES } from "./settings.js";
import { has, number, word } from "./strings.js";

const KEYS = { scale: "factor", width: "width", height: "height", long_side: "longSide", megapixels: "megapixels" };
const FORMATS = { png: "lossless", jpeg: "smaller", webp: "smaller", avif: "smaller", tiff: "tiff" };
const COMMON = [2, 4, 8];
let other = false; // the fields of another size are shown, whatever stands in them

export function drawOptions(formats) {
  const common = !other && settings.sizeBy === "scale" && COMMON.includes(settings.sizeValue);
  for (const radio of document.querySelectorAll("[name=size]")) {
    radio.checked = radio.value === (common ? String(settings.sizeValue) : "other");
  }
  byId("other-size").hidden = common;
  byId("size-by").replaceChildren(...Object.entries(KEYS).map(([by, key]) =>
    element("option", { value: by, selected: by === settings.sizeBy ? "" : null }, word(key))));
  byId("size-by").setAttribute("aria-label", word("sizeBy"));
  const field = byId("size-value"), range = SIZES[settings.sizeBy];
  Object.assign(field, { min: range.least, max: range.most, step: range.step });
  if (document.activeElement !== field) field.value = settings.sizeValue;
  field.setAttribute("aria-label", `${word("sizeValue")}: ${word(KEYS[settings.sizeBy])}`);
  drawHelp();
  const [only, ...more] = settings.models;
  setText(byId("model-name"), more.length > 0 ? word("several", settings.models.length) : only === "auto" ? word("auto") : modelTitle(only, has));
  setText(byId("model-why"), more.length > 0 ? settings.models.map((name) => name === "auto" ? word("auto") : name).join(", ")
    : only === "auto" ? word("autoWhy") : has(`for_${only}`) ? word(`for_${only}`) : "");
  setText(byId("change-model"), word("change"));
  byId("change-model").setAttribute("aria-label", `${word("change")}: ${word("model")}`);
  byId("format").replaceChildren(...formats.filter((name) => name in FORMATS).map((name) =>
    element("option", { value: name, selected: name === settings.format ? "" : null }, word(FORMATS[name], name.toUpperCase()))));
  byId("quality-label").hidden = !["jpeg", "webp", "avif"].includes(settings.format);
  if (document.activeElement !== byId("quality")) byId("quality").value = settings.quality;
}

const isRight = (field, box) => byId(box).hidden || byId(field).checkValidity();
export const optionsAreRight = () => isRight("size-value", "other-size") && isRight("quality", "quality-label");

function drawHelp() {
  const field = byId("size-value"), right = field.checkValidity();
  field.setAttribute("aria-invalid", !right);
  setText(byId("size-help"), right ? word("sizeHelp") : word("sizeWrong", number(Number(field.min), 1), number(Number(field.max))));
}

// apply(): after each change.
export function startOptions(apply) {
  for (const radio of document.querySelectorAll("[name=size]")) {
    radio.addEventListener("change", () => {
      other = radio.value === "other";
      keep({ sizeBy: "scale", sizeValue: other ? SIZES.scale.first : Number(radio.value) });
      byId("size-value").value = settings.sizeValue;
      apply();
      if (other) byId("size-by").focus();
    });
  }
  byId("size-by").addEventListener("change", (event) => {
    keep({ sizeBy: event.target.value, sizeValue: SIZES[event.target.value].first });
    byId("size-value").value = settings.sizeValue;
    apply();
  });
  byId("size-value").addEventListener("input", (event) => {
    other = true;
    if (event.target.checkValidity()) keep({ sizeValue: Number(event.target.value) });
    apply();
  });
  byId("format").addEventListener("change", (event) => { keep({ format: event.target.value }); apply(); });
  byId("quality").addEventListener("input", (event) => {
    if (event.target.checkValidity()) keep({ quality: Number(event.target.value) });
    apply();
  });
  byId("change-model").addEventListener("click", async () => {
    const chosen = await chooseModels(settings.models);
    if (chosen === null) return;
    keep({ models: chosen });
    apply();
  });
}
