// What the user chose, kept in this browser: language, theme, and how to enlarge.
const KEY = "upres-settings";
const DEFAULTS = { language: null, theme: null, sizeBy: "scale", sizeValue: 4, models: ["auto"], format: "png", quality: 90 };

// What may be entered for each kind of size, and its steps.
export const SIZES = {
  scale: { least: 1, most: 16, step: "any", first: 3 },
  width: { least: 16, most: 60000, step: 1, first: 1920 },
  height: { least: 16, most: 60000, step: 1, first: 1080 },
  long_side: { least: 16, most: 60000, step: 1, first: 3840 },
  megapixels: { least: 0.1, most: 1000, step: "any", first: 12 },
};

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {}; // not allowed to keep anything, or not ours
  }
}

const good = (values) => values.sizeBy in SIZES && Array.isArray(values.models) && values.models.length > 0;
const read = { ...DEFAULTS, ...kept() };
export const settings = good(read) ? read : { ...DEFAULTS };

export function keep(changes) {
  Object.assign(settings, changes);
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // the choice holds until the page is closed
  }
}

export const language = () => settings.language ?? (/^zh\b/i.test(navigator.language) ? "zh" : "en");
export const theme = () => settings.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

// The options of an upscale, as the server names them.
export function parameters(model) {
  const chosen = { [settings.sizeBy]: settings.sizeValue, format: settings.format };
  if (["jpeg", "webp", "avif"].includes(settings.format)) chosen.quality = settings.quality;
  if (model !== "auto") chosen.model = model;
  return chosen;
}

// By how much a picture is enlarged, roughly; null where its size is not known.
export function factorFor(width, height) {
  const { sizeBy, sizeValue } = settings;
  if (sizeBy === "scale") return sizeValue;
  if (!width || !height) return null;
  const now = { width, height, long_side: Math.max(width, height), megapixels: Math.sqrt(width * height / 1e6) }[sizeBy];
  return (sizeBy === "megapixels" ? Math.sqrt(sizeValue) : sizeValue) / now;
}
