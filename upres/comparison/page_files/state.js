// The data of the page, what is chosen, and small helpers that all views use.
const data = JSON.parse(document.getElementById("data").textContent);
const state = {
  language: /^zh\b/i.test(navigator.language) ? "zh" : "en",
  theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
  view: "slide", picture: 0, first: 0, second: 0, flicker: "first", gain: 4,
};
const VIEWS = ["slide", "magnify", "flicker", "difference"];
const byId = (id) => document.getElementById(id);

function picture() { return data.pictures[state.picture]; }

function nameOf(version) { return ["model", "map"].includes(version.kind) ? version.name : word(version.kind.toLowerCase()); }

function source(version) { return byId(version.image).textContent; }

function say(text) { byId("status").textContent = text; }

// Show a version in an <img>. LR is stored at its own size and enlarged by nearest neighbor.
function show(image, version) {
  const data = source(version);
  if (image.src !== data) image.src = data;
  image.width = picture().width;
  image.height = picture().height;
  image.alt = word("alt", picture().name, nameOf(version));
  image.classList.toggle("pixels", version.kind === "LR");
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
