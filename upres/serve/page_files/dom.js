// Small helpers for the document.
import { word } from "./strings.js";

export const byId = (id) => document.getElementById(id);

// element("a", { href: "/" }, "text", another): attributes that are null are left out, "on..." are listeners.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

// A drawing of index.html, which screen readers pass over.
export function icon(name) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  made.append(use);
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  return made;
}

// button("cancel", { image, label }): the word, and before it a drawing. Without a key the drawing alone, with `label` to say what it does.
export function button(key, { image, label = null, ...attributes } = {}) {
  const content = [image === undefined ? null : icon(image), key === null ? null : word(key)];
  const title = key === null ? label : null;
  return element("button", { type: "button", class: key === null ? "bare" : null, "aria-label": label, title, ...attributes }, ...content);
}

export function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

// For screen readers.
export function say(text) { byId("status").textContent = text; }

// A note at the lower edge, for a while or until it is dismissed.
let noteTimer;
export function note(text) {
  byId("note-text").textContent = text;
  say(text);
  byId("note").hidden = false;
  clearTimeout(noteTimer);
  noteTimer = setTimeout(() => { byId("note").hidden = true; }, 9000);
}

// Ask in a dialog; true where the first button was chosen.
export function ask(title, text, yes) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
