// The words of the chosen language; numbers, sizes and times in the language's own way.
import en from "./words_en.js";
import zh from "./words_zh.js";

const WORDS = { en, zh };

let language = "en";

export function setLanguage(name) { language = name in WORDS ? name : "en"; }
export function languageTag() { return language === "zh" ? "zh-CN" : "en"; }
export function has(key) { return key in WORDS[language]; }

export function word(key, ...values) {
  const forms = WORDS[language][key].split(" | ");
  const text = forms.length > 1 && Number(values[0]) !== 1 ? forms[1] : forms[0];
  return text.replace(/\{(\d)\}/g, (_, index) => String(values[Number(index)]));
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(languageTag(), { maximumFractionDigits: digits }).format(value);
}

export function bytes(count) {
  const units = [null, "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(3, Math.max(1, Math.floor(Math.log(Math.max(1, count)) / Math.log(1000))));
  const style = { style: "unit", unit: units[power], unitDisplay: "short", maximumFractionDigits: power > 1 || count < 1000 ? 1 : 0 };
  return new Intl.NumberFormat(languageTag(), style).format(count / 1000 ** power);
}

// A length of time that is an estimate: no more digits than it is worth.
export function duration(seconds) {
  const unit = (value, name) =>
    new Intl.NumberFormat(languageTag(), { style: "unit", unit: name, unitDisplay: "short" }).format(value);
  if (seconds < 60) return unit(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 3600) return unit(Math.round(seconds / 60), "minute");
  const minutes = Math.round(seconds / 60);
  return `${unit(Math.floor(minutes / 60), "hour")} ${unit(minutes % 60, "minute")}`;
}

export function pixels(width, height) { return `${width} × ${height}`; }
